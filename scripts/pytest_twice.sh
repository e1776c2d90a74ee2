# For other scripts to read in: pytest, and once more for the tests that have failed.
# They say first how pytest is called: pytest=(PROGRAM ARGUMENT ...)

# run ARGUMENT ...: ends with pytest's code, but for 5 (no test was chosen), which is 0 here.
run() {
    local code=0
    "${pytest[@]}" "$@" || code=$?
    [ "$code" = 5 ] || return "$code"
}

# once_more CODE ARGUMENT ...: after a run that has ended with CODE.
once_more() {
    [ "$1" = 1 ] || return "$1"
    shift
    echo "Once more, one by one: a few tests that have failed may have waited for the others."
    run --last-failed --last-failed-no-failures none --maxfail 10 "$@"
}
