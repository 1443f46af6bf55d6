// Says what Docker's own matcher says, so that hoist's can be compared with it.
//
// Each line of standard input is a JSON object with the text of an ignore file and paths; each line
// of standard output is the answer: an error, or for each path whether a walk leaves it out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

type question struct {
	File  string   `json:"file"`
	Paths []string `json:"paths"`
}

type answer struct {
	Error   string `json:"error,omitempty"`
	Ignored []bool `json:"ignored,omitempty"`
}

func main() {
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.More() {
		var asked question
		if err := in.Decode(&asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var told answer
		ignored, err := ask(asked)
		if err != nil {
			told.Error = err.Error()
		} else {
			told.Ignored = ignored
		}
		line, _ := json.Marshal(told)
		fmt.Fprintf(out, "%s\n", line)
	}
}

func ask(asked question) ([]bool, error) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(asked.File))
	if err != nil {
		return nil, err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	// The matcher finds some faults only when it comes to use a pattern; hoist finds them before.
	for _, pattern := range matcher.Patterns() {
		if strings.HasPrefix(pattern.String(), "!") {
			continue // Alone it would mean something else.
		}
		if _, err := patternmatcher.MatchesOrParentMatches("x", []string{pattern.String()}); err != nil {
			return nil, err
		}
	}
	ignored := make([]bool, 0, len(asked.Paths))
	for _, path := range asked.Paths {
		is, err := walk(matcher, path)
		if err != nil {
			return nil, err
		}
		ignored = append(ignored, is)
	}
	return ignored, nil
}

// walk visits the folders above a path and then the path, as a walk through the context does.
func walk(matcher *patternmatcher.PatternMatcher, path string) (bool, error) {
	var above patternmatcher.MatchInfo
	var ignored bool
	for at := 0; at <= len(path); at++ {
		if at < len(path) && path[at] != '/' {
			continue
		}
		var err error
		ignored, above, err = matcher.MatchesUsingParentResults(path[:at], above)
		if err != nil {
			return false, err
		}
	}
	return ignored, nil
}
