# Fetches each part that is not there yet into the folder.
while read -r part; do
    if test -e "$1/$part"; then
        echo "$part is there"
    else
        echo "fetching $part"
        echo "$part" >"$1/$part"
    fi
done <parts.lock
