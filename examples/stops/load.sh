# Counts until SIGINT, then writes down how far it came.
count=0
trap 'echo "$count requests" | tee /tmp/results.txt; exit 1' INT
while true; do
  count=$((count + 1))
  sleep 0.1
done
