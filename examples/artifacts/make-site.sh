set -eu
mkdir -p "$1/site"
for page in pages/*.txt; do
    name=$(basename "$page" .txt)
    { echo "<pre>"; cat "$page"; echo "</pre>"; } >"$1/site/$name.html"
    echo "<a href=\"$name.html\">$name</a>" >>"$1/site/index.html"
done
cd "$1/site"
sha256sum -- *.html >../checksums.txt
