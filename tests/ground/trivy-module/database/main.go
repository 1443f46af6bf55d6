// Command database writes a small vulnerability database for Trivy.
//
//	database ADVISORIES FOLDER < CHANGELOGS
//
// Each CVE that a Debian changelog names, in an entry for bookworm, becomes an
// advisory of that source package: fixed in the entry's version, the newest one
// if several name it. ADVISORIES adds what a changelog doesn't tell: severity and
// title, and CVEs for which Debian 12 has no fix. A CVE that it doesn't list has
// no severity, which Trivy reports as UNKNOWN; nothing is guessed.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	bolt "go.etcd.io/bbolt"
)

const platform = "debian 12"

type key struct{ source, cve string }

var (
	entry = regexp.MustCompile(`^(\S+) \((\S+)\) (\S[^;]*);`)
	cve   = regexp.MustCompile(`CVE-\d{4}-\d{4,}`)
)

// fixes reads changelogs, newest entry first, into the version that fixes each CVE.
func fixes(changelogs io.Reader) (map[key]string, error) {
	found := map[key]string{}
	var source, version string
	lines := bufio.NewScanner(changelogs)
	for lines.Scan() {
		if header := entry.FindStringSubmatch(lines.Text()); header != nil {
			source, version = header[1], header[2]
			if !strings.HasPrefix(header[3], "bookworm") {
				source = ""
			}
		}
		for _, id := range cve.FindAllString(lines.Text(), -1) {
			if _, known := found[key{source, id}]; source != "" && !known {
				found[key{source, id}] = version
			}
		}
	}
	return found, lines.Err()
}

// knowledge reads lines of CVE, source package, status, severity, who gave the severity, title.
func knowledge(path string) ([][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for n, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != 6 || !cve.MatchString(row[0]) || types.NewStatus(row[2]) == types.StatusUnknown {
			return nil, fmt.Errorf("%s:%d: not CVE, source, status, severity, vendor, title: %q", path, n+1, line)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func write(folder string, fixed map[key]string, rows [][]string) error {
	advisories := map[key]types.Advisory{}
	for at, version := range fixed {
		advisories[at] = types.Advisory{FixedVersion: version}
	}
	details := map[string]types.Vulnerability{}
	for _, row := range rows {
		severity, err := types.NewSeverity(row[3])
		if err != nil {
			return err
		}
		at := key{row[1], row[0]}
		advisory, known := advisories[at]
		status := types.NewStatus(row[2])
		if !known && status == types.StatusFixed {
			continue // its changelog was not among those read
		}
		detail := types.Vulnerability{Title: row[5]}
		if row[4] == "debian" {
			advisory.Severity = severity
		} else {
			detail.VendorSeverity = types.VendorSeverity{types.SourceID(row[4]): severity}
		}
		if advisory.FixedVersion == "" {
			advisory.Status = status
		}
		advisories[at], details[row[0]] = advisory, detail
	}

	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := db.Init(folder); err != nil {
		return err
	}
	store := db.Config{}
	err := store.BatchUpdate(func(tx *bolt.Tx) error {
		err := store.PutDataSource(tx, platform, types.DataSource{
			ID: "debian", Name: "Debian changelogs", URL: "https://metadata.ftp-master.debian.org/changelogs/",
		})
		for at, advisory := range advisories {
			if err == nil {
				err = store.PutAdvisory(tx, []string{platform, at.source}, at.cve, &advisory)
			}
			if err == nil {
				err = store.PutVulnerability(tx, at.cve, details[at.cve])
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	now := time.Now().UTC()
	err = metadata.NewClient(folder).Update(metadata.Metadata{
		Version: db.SchemaVersion, UpdatedAt: now, DownloadedAt: now, NextUpdate: now.Add(24 * time.Hour),
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d advisories\n", len(advisories))
	// The scanner reads it as another user.
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	for _, name := range []string{db.Path(folder), filepath.Join(folder, "metadata.json")} {
		if err := os.Chmod(name, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: database ADVISORIES FOLDER < CHANGELOGS")
	}
	rows, err := knowledge(os.Args[1])
	if err == nil {
		var fixed map[key]string
		if fixed, err = fixes(os.Stdin); err == nil && len(fixed) == 0 {
			err = fmt.Errorf("no changelog on standard input names a CVE")
		}
		if err == nil {
			err = write(os.Args[2], fixed, rows)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}
