# 75 says that it is not the code's fault: try again later (EX_TEMPFAIL of sysexits.h).
[ -e ready ] || { echo "the test data is not there yet"; exit 75; }
echo "all good"
