# How the long scripts show what they do: one line per step with its time, the output in target/log, and its end shown
# on failure. Sourced by scripts/setup, scripts/build-web and scripts/test. Expects $root.

log_dir=$root/target/log
mkdir -p "$log_dir"

# How many lines of a failed step's log are shown; the rest is in the file.
failure_lines=60
# How often a waiting step says on a terminal that it is alive, in seconds.
tick=0.2

log_of() { echo "$log_dir/${1//[^a-zA-Z0-9]/-}.log"; }

# step NAME COMMAND... runs the command (a function too) with its output in target/log/NAME.log. It leaves the command's
# exit status in step_status and its time in step_seconds, and succeeds itself: a function that runs under `||` or `if`
# has errexit switched off in all that it calls, and would go on after its first failure.
step() {
  local name=$1 log pid started=$SECONDS
  shift
  log=$(log_of "$name")
  [ -t 1 ] || printf '%-28s ... ' "$name"
  # In a process group of its own, so that an interrupted script can end all that the step started.
  set -m
  ("$@") >"$log" 2>&1 </dev/null &
  set +m
  pid=$! step_pid=$!
  if [ -t 1 ]; then
    while kill -0 $pid 2>/dev/null; do
      printf '\r\033[K%-28s ... %4d s  %s' "$name" $((SECONDS - started)) "$(last_line "$log")"
      sleep $tick
    done
    printf '\r\033[K%-28s ... ' "$name"
  fi
  step_status=0
  wait $pid || step_status=$?
  step_pid=''
  step_seconds=$((SECONDS - started))
  if [ $step_status = 0 ]; then
    printf 'ok    %4d s\n' $step_seconds
  else
    printf 'FAILED %3d s (exit %d)\n' $step_seconds $step_status
  fi
}

step_pid=''
end_step() {
  [ -z "$step_pid" ] || kill -TERM -- "-$step_pid" 2>/dev/null
  exit "$1"
}
trap 'end_step 130' INT
trap 'end_step 143' TERM

# The last thing a step wrote, short enough not to wrap.
last_line() { tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | grep -v '^ *$' | tail -n 1 | cut -c 1-70; }

show_failure() {
  local log
  log=$(log_of "$1")
  echo "--- the last lines of ${log#"$root"/}:"
  tail -n $failure_lines "$log"
  echo "--- (all of it: ${log#"$root"/})"
}

# A step that nothing goes on without.
must() {
  step "$@"
  [ $step_status = 0 ] && return
  show_failure "$1"
  exit 1
}
