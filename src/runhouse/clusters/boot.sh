#!/bin/sh
# Start command of a SageMaker container that is to be connected to. It comes with its settings by an
# input channel, since SageMaker allows 256 characters for a command.
#
# It is process 1: it starts sshd, waits for a connection if it is told so, runs the user's program if
# there is one, and ends when nothing has computed for as long as autostop allows.
boot=/opt/ml/input/data/runhouse
state=/tmp/runhouse
. "$boot/settings.sh" # AUTOSTOP_MINS MINUTE_S LOOK_S WAIT_S ACTIVATE SSM_ROLE OWNER

say() { echo "runhouse: $*"; }

mkdir -p "$state"
[ -s "$state/autostop_mins" ] || echo "$AUTOSTOP_MINS" >"$state/autostop_mins"
touch "$state/active"
program=
# SageMaker stops a job by SIGTERM to process 1, which ignores what it does not handle.
end() {
    say "told to stop"
    [ -z "$program" ] || kill "$program" 2>/dev/null
    exit 0
}
trap end TERM INT

# -- the way in

install_sshd() {
    say "the image has no sshd; installing one"
    if command -v apt-get >/dev/null; then
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq openssh-server; } >/dev/null
    elif command -v dnf >/dev/null; then
        dnf install -yq openssh-server
    elif command -v yum >/dev/null; then
        yum install -yq openssh-server
    else
        return 1
    fi
}

start_sshd() {
    PATH="$PATH:/usr/sbin:/sbin"
    command -v sshd >/dev/null || install_sshd
    sshd=$(command -v sshd) || {
        say "there is no sshd in the image, and none can be installed: nothing can connect"
        return 1
    }
    mkdir -p "$HOME/.ssh" /run/sshd
    chmod 700 "$HOME/.ssh"
    cat /opt/ml/input/data/runhouse-keys/*.pub >>"$HOME/.ssh/authorized_keys"
    # Sessions have what the image and SageMaker set, which is how they find its Python.
    env | grep -E '^[A-Za-z_][A-Za-z0-9_]*=' | grep -vE '^(HOME|PWD|OLDPWD|SHLVL|_)=' >"$HOME/.ssh/environment"
    chmod 600 "$HOME/.ssh/authorized_keys" "$HOME/.ssh/environment"
    ssh-keygen -q -A
    cat >"$state/sshd_config" <<EOF
ListenAddress 127.0.0.1:22
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserEnvironment yes
StrictModes no
ClientAliveInterval 15
MaxSessions 100
Subsystem sftp internal-sftp
EOF
    "$sshd" -f "$state/sshd_config" -E "$state/sshd.log" || {
        say "sshd did not start"
        cat "$state/sshd.log"
        return 1
    }
    say "sshd is ready"
}

# Registers the container with Systems Manager, as AWS's public helper does.
activate() {
    command -v sm-setup-ssh >/dev/null ||
        python3 -m pip install -q --no-deps 'sagemaker-ssh-helper>=2.3,<3' || {
        say "sagemaker-ssh-helper cannot be installed: the container is not registered"
        return 1
    }
    SSH_SSM_ROLE=$SSM_ROLE SSH_OWNER_TAG=$OWNER sm-setup-ssh &
}

# -- what goes on

connected() {
    for each in /proc/[0-9]*/cmdline; do
        case $(tr '\0' ' ' <"$each" 2>/dev/null) in
        sshd:*@* | sshd-session:*@*) return 0 ;;
        esac
    done
    return 1
}

# CPU time of all processes of the container and their ended children, in hundredths of a second.
computed() {
    cat /proc/[0-9]*/stat 2>/dev/null |
        awk '{ sub(/^.*\) /, ""); sum += $12 + $13 + $14 + $15 } END { printf "%d", sum }'
}

nap() {
    sleep "$1" &
    wait $!
}

wait_for_connection() {
    say "waiting up to $WAIT_S s for a connection"
    left=$WAIT_S
    while [ "$left" -gt 0 ] && ! connected; do
        nap 1
        left=$((left - 1))
    done
}

is_head() { [ "${SM_CURRENT_HOST:-algo-1}" = algo-1 ]; }

idle_s() { echo $(($(date +%s) - $(stat -c %Y "$state/active"))); }

# Returns when nothing has computed for as long as autostop allows. Use is what the server says by
# touching a file, or a tenth of a CPU.
wait_until_idle() {
    before=$(computed)
    while :; do
        nap "$LOOK_S"
        now=$(computed)
        [ $((now - before)) -lt $((LOOK_S * 10)) ] || touch "$state/active"
        before=$now
        mins=$(cat "$state/autostop_mins")
        [ "$mins" -lt 0 ] || [ "$(idle_s)" -lt $((mins * MINUTE_S)) ] || break
    done
    say "nothing has computed here for $mins min"
}

# A job goes on for as long as one of its containers does, so the head ends it for all of them.
stop_job() {
    python3 -c 'import boto3, sys; boto3.client("sagemaker").stop_training_job(TrainingJobName=sys.argv[1])' \
        "$TRAINING_JOB_NAME" && nap 60
}

run_program() {
    say "the program begins"
    mkfifo "$state/output"
    tee "$state/program.log" <"$state/output" &
    shown=$!
    sh "$boot/program.sh" >"$state/output" 2>&1 &
    program=$!
    wait "$program"
    code=$?
    program=
    wait "$shown"
    why=
    if [ "$code" -ne 0 ]; then
        failure=/opt/ml/output/failure
        if [ -s "$failure" ]; then
            why=$(cat "$failure")
        else
            why=$(grep -v '^[[:space:]]*$' "$state/program.log" | tail -n 1)
            mkdir -p /opt/ml/output
            { echo "The program ended with code $code. Its last lines:"; tail -n 20 "$state/program.log"; } >"$failure"
        fi
        why=": $(printf %s "$why" | tr '\r\n' '  ' | cut -c 1-500)"
    fi
    say "the program ended with code $code$why"
    touch "$state/active"
}

start_sshd
[ -z "$ACTIVATE" ] || activate
[ "$WAIT_S" -le 0 ] || wait_for_connection
code=0
if [ -s "$boot/program.sh" ]; then
    run_program
    if [ "$(cat "$state/autostop_mins")" -ne 0 ]; then
        say "the container stays for a look at it"
        wait_until_idle
    fi
    exit "$code"
fi
if is_head || [ "$HOSTS" -le 1 ]; then
    wait_until_idle
    [ "$HOSTS" -le 1 ] || stop_job
    exit 0
fi
while :; do
    nap 3600
done
