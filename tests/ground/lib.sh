# shellcheck shell=bash
# Words that the scripts of this folder share. Sourced, never run.

# shellcheck disable=SC2034 # read by the scripts that source this
GROUND=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hoist-ground
GO=go1.26.8 # Trivy 0.74 builds with Go 1.26 and not with 1.27
mkdir -p "$CACHE"

say() { printf 'ground: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# quietly COMMAND...: keeps the output to itself, unless the command fails.
quietly() {
  local log
  log=$(mktemp "$CACHE/log.XXXXXX")
  if "$@" >"$log" 2>&1; then rm -f "$log"; return; fi
  tail -n 40 "$log" >&2
  die "failed: $* (all of its output: $log)"
}

# lock NAME: until this script ends, others that take NAME wait.
lock() {
  exec 9>"$CACHE/$1.lock"
  flock --nonblock 9 || { say "waiting for another set-up to finish ($1)"; flock 9; }
}

as_root() { [[ $(id -u) == 0 ]] || die "root is needed to $*: run this as root, or do it yourself"; }

# packages ITEM...: each is a Debian package, or COMMAND:PACKAGE when having the command is enough.
packages() {
  local item missing=()
  for item in "$@"; do
    case $item in
      *:*) command -v "${item%%:*}" >/dev/null || missing+=("${item#*:}") ;;
      *) [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$item" 2>/dev/null) == installed ]] ||
        missing+=("$item") ;;
    esac
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  as_root "install ${missing[*]}"
  command -v apt-get >/dev/null || die "needs ${missing[*]}, which this script can only install on Debian"
  say "installing ${missing[*]}"
  (
    # A package's own script would start its daemon where a service manager runs.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
      printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
      chmod 0755 /usr/sbin/policy-rc.d
      trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get --quiet --yes --no-install-recommends -o DPkg::Lock::Timeout=300)
    "${apt[@]}" install "${missing[@]}" >/dev/null 2>&1 ||
      { quietly "${apt[@]}" update && quietly "${apt[@]}" install "${missing[@]}"; }
  )
}

# need_go: puts the pinned Go first in PATH; any Go from 1.21 on fetches it by itself.
need_go() {
  export GOTOOLCHAIN=$GO GOFLAGS=-buildvcs=false
  local folder mirror bootstrap=/usr/lib/go-1.23/bin lists=$CACHE/backports
  for folder in "$(dirname "$(command -v go || echo /none/go)")" /usr/local/go/bin $bootstrap; do
    [[ $("$folder/go" version 2>/dev/null) == *" $GO "* ]] || continue
    PATH=$folder:$PATH
    return
  done
  as_root "install Go"
  say "installing Go 1.23 from Debian's backports, to fetch $GO"
  mkdir -p "$lists/partial"
  # shellcheck disable=SC2016 # apt fills these in
  # The mirror that this machine's own package lists came from.
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | sed -n 's/ bookworm$//p' | head -n 1)
  printf 'deb %s %s main\n' "$mirror" bookworm "$mirror" bookworm-backports >"$lists.list"
  local apt=(apt-get --quiet --yes --no-install-recommends -o Dir::Etc::SourceList="$lists.list"
    -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$lists" -o DPkg::Lock::Timeout=300)
  quietly "${apt[@]}" update
  quietly "${apt[@]}" install golang-1.23-go
  PATH=$bootstrap:$PATH
  [[ $(go version) == *" $GO "* ]] || die "no Go here can become $GO: $(go version)"
}

# answers: a Docker engine answers where the docker command looks for one.
answers() { command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# registry_answers: images can be pulled. Asked once; children inherit the answer.
registry_answers() {
  if [[ -z ${HOIST_GROUND_PULLS:-} ]]; then
    HOIST_GROUND_PULLS=no
    ! timeout 15 docker manifest inspect debian:bookworm-slim >/dev/null 2>&1 || HOIST_GROUND_PULLS=yes
    export HOIST_GROUND_PULLS
    [[ $HOIST_GROUND_PULLS == yes ]] || say "no image registry answers: images are made here"
  fi
  [[ $HOIST_GROUND_PULLS == yes ]]
}

# Daemons. Those of a script are recorded in its own folder STATE.

# The start time of a process, in ticks since boot: tells it from a later one of the same number.
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# alive NAME: the daemon that was started as NAME still runs.
alive() {
  local pid start
  [[ -r $STATE/$1.pid ]] && read -r pid start <"$STATE/$1.pid" && [[ $(started "$pid") == "$start" ]]
}

# launch NAME COMMAND...: starts a daemon that outlives this shell.
launch() {
  local name=$1
  shift
  setsid "$@" </dev/null >"$STATE/$name.log" 2>&1 9>&- &
  echo "$! $(started $!)" >"$STATE/$name.pid"
}

# wait_for NAME COMMAND...: until the command succeeds, for a minute, as long as the daemon lives.
wait_for() {
  local name=$1 tries=0
  shift
  until "$@"; do
    if ((++tries > 600)) || ! alive "$name"; then
      tail -n 20 "$STATE/$name.log" >&2
      end "$name"
      die "$name did not start (all of its output: $STATE/$name.log)"
    fi
    sleep 0.1
  done
}

# end NAME: asks the daemon to end, kills it after a minute.
end() {
  local name=$1 pid tries=0
  alive "$name" || return 0
  read -r pid _ <"$STATE/$name.pid"
  kill -TERM "$pid"
  while alive "$name"; do
    if ((++tries > 600)); then
      say "$name did not end within a minute: killing it"
      kill -KILL "$pid"
      sleep 1
    fi
    sleep 0.1
  done
}
