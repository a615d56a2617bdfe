# shellcheck shell=bash
# Starts and stops the program for the scripts beside this file; to be sourced, by bash.
#
#   build_server         sets $bin: $WIREBAHN_BIN, else a release build made now
#   start_server LOG COMMAND...   starts `$bin COMMAND... --wsuri ws://127.0.0.1:0`;
#                        sets $server (its pid, while it lives) and $url
#   stop_server LOG [now]  SIGTERM by pid, and the server has to end by itself with status 0;
#                        with `now`, it has been told already
#   kill_server          for EXIT traps: ends what was started and not stopped

server_start_seconds=20   # until the server says that it listens
server_stop_seconds=20    # from SIGTERM to the end; its own close deadline is 5 s
server=''

build_server() {
   bin=${WIREBAHN_BIN:-}
   [ -z "$bin" ] || return 0
   local root
   root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
   (cd "$root" && "${CARGO:-cargo}" build --release -p wirebahn-cli)
   bin=${CARGO_TARGET_DIR:-$root/target}/release/wirebahn
}

start_server() {
   local log=$1; shift
   : > "$log" # a line of an earlier run must not be taken for this one's
   "$bin" "$@" --wsuri ws://127.0.0.1:0 > "$log" 2>&1 < /dev/null &
   server=$!
   local left=$((server_start_seconds * 10))
   until url=$(sed -n 's|^listening on \(ws://[^ ]*\).*|\1|p' "$log" | head -n 1); [ -n "$url" ]; do
      if ! kill -0 "$server" 2>/dev/null || [ "$left" -le 0 ]; then
         echo "the server does not come up:" >&2; tail -n 20 "$log" >&2
         kill_server
         return 1
      fi
      left=$((left - 1)); sleep 0.1
   done
}

stop_server() {
   local log=$1 now=${2:-} left=$((server_stop_seconds * 10)) status=0
   if [ -z "$now" ]; then
      if ! kill -TERM "$server" 2>/dev/null; then
         wait "$server" || status=$?
         server=''
         echo "the server ended too early, with status $status:" >&2; tail -n 20 "$log" >&2
         return 1
      fi
   fi
   while kill -0 "$server" 2>/dev/null && [ "$left" -gt 0 ]; do left=$((left - 1)); sleep 0.1; done
   if kill -0 "$server" 2>/dev/null; then
      echo "the server did not stop within ${server_stop_seconds} s of SIGTERM" >&2
      kill_server
      return 1
   fi
   wait "$server" || status=$?
   server=''
   [ "$status" -eq 0 ] && return 0
   echo "the server stopped with status $status:" >&2; tail -n 20 "$log" >&2
   return 1
}

kill_server() {
   [ -n "$server" ] || return 0
   kill -KILL "$server" 2>/dev/null || true
   wait "$server" 2>/dev/null || true
   server=''
}
