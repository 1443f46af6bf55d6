echo "tests.sh:2: a line longer than 80 characters"
exit 2
