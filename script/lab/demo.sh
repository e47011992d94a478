# shellcheck shell=bash
# What script/demo does, piece by piece. Sourced by it; needs common.sh, packages.sh
# and daemons.sh. Everything that it makes is below DATA or called tb-demo*.

DATA=$(data_dir)
STATE=$DATA/daemons
PORT=${TESTBED_DEMO_PORT:-8000}
URL=http://127.0.0.1:$PORT
HOST_B=tb-demo-b
HOST_B_DIR=$DATA/host-b
MAIN_BRIDGE=tb-demo-phy
MAIN_ADDRESS=172.31.78.1
HOST_B_ADDRESS=172.31.78.2
ADMIN="admin"
ADMIN_PASSWORD_FILE=$DATA/admin-password
# shellcheck disable=SC2034  # said by script/demo
HOSTS_IN_WORDS="two testbed hosts"
# The pid of each server that this script started: the files of STATE may be another's.
declare -A STARTED=()

export TESTBED_DATA_DIR=$DATA
export TESTBED_WORKER_PROCESSES=${TESTBED_WORKER_PROCESSES:-6}
TESTBED_REDIS_URL=unix://$DATA/redis.sock
TESTBED_CATALOGUE=$(image_cache)
export TESTBED_REDIS_URL TESTBED_CATALOGUE

manage() { "$VENV/bin/python" "$CHECKOUT/manage.py" "$@"; }

install_everything() {
  step "Install packages" ensure_packages "${RUN_PACKAGES[@]}" "${IMAGE_PACKAGES[@]}" curl
  step "Prepare the Python environment" ensure_venv requirements.lock
  ensure_front_end
}

# On a machine that cannot run guests the same plan is rehearsed on simulated hosts.
choose_hosts() {
  local missing
  missing=$(missing_capabilities)
  install -d -m 711 "$DATA"
  step "Start Redis" ensure_redis "$DATA/redis.sock" "$STATE"
  if [[ -n $missing ]]; then
    SIMULATED=1
    # shellcheck disable=SC2034
    HOSTS_IN_WORDS="two simulated hosts"
    say "  This machine cannot run real guests:"
    say "    ${missing//$'\n'/$'\n'    }"
    say "  The same plan runs on simulated hosts instead."
    offer_stand_in
    return
  fi
  SIMULATED=
  step "Start libvirt" ensure_libvirtd "$STATE"
  step "Start Open vSwitch" ensure_openvswitch "$STATE"
  step "Build the test guest image" "$LAB/guest-image" "$(image_cache)"
  step "Make a second testbed host" make_host_b
}

# Where the test guest image was never built: simulated hosts do not look into it.
offer_stand_in() {
  local folder=$DATA/images-to-rehearse sum
  [[ ! -f $(image_cache)/test_guest.json ]] || return 0
  mkdir -p "$folder"
  truncate -s 1M "$folder/test_guest.qcow2"
  sum=$(sha256sum "$folder/test_guest.qcow2" | cut -d' ' -f1)
  printf '{"name": "test_guest", "path": "test_guest.qcow2", "sha256": "%s"}\n' "$sum" \
    > "$folder/test_guest.json"
  export TESTBED_CATALOGUE=$folder
}

make_host_b() {
  local key=$DATA/host-b-key
  [[ -f $key ]] || ssh-keygen -q -t ed25519 -N '' -C testbed-demo -f "$key"
  install -d -m 755 "$HOST_B_DIR"
  cp "$key.pub" "$HOST_B_DIR/authorized_keys"
  "$LAB/namespace-host" wire - tbdemo0 "$HOST_B" tbdemo1
  attach_underlay "$MAIN_BRIDGE" tbdemo0 "$MAIN_ADDRESS/24"
  "$LAB/namespace-host" start "$HOST_B" "$HOST_B_DIR" \
    --address "$HOST_B_ADDRESS/24" --wire tbdemo1
}

prepare_product() {
  step "Prepare the database" manage migrate --verbosity 0
  step "Create the administrator" create_admin
  step "Add the testbed hosts" add_hosts
}

create_admin() {
  if [[ ! -f $ADMIN_PASSWORD_FILE ]]; then
    (umask 077; head -c 12 /dev/urandom | base64 | tr +/ -_ > "$ADMIN_PASSWORD_FILE")
  fi
  DJANGO_SUPERUSER_PASSWORD=$(< "$ADMIN_PASSWORD_FILE")
  export DJANGO_SUPERUSER_PASSWORD
  manage shell -v 0 -c "
import os
from django.contrib.auth.models import User
if not User.objects.filter(username='$ADMIN').exists():
    User.objects.create_superuser('$ADMIN', password=os.environ['DJANGO_SUPERUSER_PASSWORD'])"
}

add_hosts() {
  if [[ -n $SIMULATED ]]; then
    manage add_host main --main --simulated
    manage add_host host-b --simulated
    return
  fi
  manage add_host main --main --address "$MAIN_ADDRESS"
  manage add_host host-b --address "$HOST_B_ADDRESS" \
    --identity-file "$DATA/host-b-key" \
    --host-key-file "$HOST_B_DIR/ssh_host_ed25519_key.pub"
}

start_product() {
  step "Start the worker" start_worker
  step "Start the console gateway" start_consoles
  step "Start the web server" start_daphne
  note_started
}

# From here on this script stops its own servers only.
note_started() {
  local name
  for name in worker consoles daphne; do STARTED[$name]=$(recorded_pid "$name"); done
  trap stop_own_servers EXIT
}

# recorded_pid NAME: empty when nothing is recorded.
recorded_pid() { cat "$STATE/$1.pid" 2> /dev/null || true; }

is_running() {
  local pid
  pid=$(recorded_pid "$1")
  [[ -n $pid && -e /proc/$pid/exe ]]
}

is_own() { [[ $(recorded_pid "$1") == "${STARTED[$1]:-none}" ]]; }

start_worker() {
  stop_recorded worker
  mkdir -p "$STATE"
  (umask 077 && cd "$CHECKOUT" && exec setsid "$VENV/bin/celery" -A testbed worker -B \
    --loglevel INFO > "$DATA/worker.log" 2>&1 < /dev/null) &
  echo $! > "$STATE/worker.pid"
  wait_for_server worker grep -q ' ready\.$' "$DATA/worker.log"
}

start_consoles() {
  stop_recorded consoles
  rm -f "$DATA/console.sock"
  (umask 077 && cd "$CHECKOUT" && exec setsid "$VENV/bin/python" manage.py console_gateway \
    > "$DATA/consoles.log" 2>&1 < /dev/null) &
  echo $! > "$STATE/consoles.pid"
  wait_for_server consoles test -S "$DATA/console.sock"
}

start_daphne() {
  stop_recorded daphne
  (umask 077 && cd "$CHECKOUT" && exec setsid "$VENV/bin/daphne" -b 127.0.0.1 -p "$PORT" \
    --verbosity 0 --websocket_connect_timeout 60 testbed.asgi:application > "$DATA/daphne.log" 2>&1 < /dev/null) &
  echo $! > "$STATE/daphne.pid"
  wait_for_server daphne curl -fs -o /dev/null "$URL/login/"
}

# wait_for_server NAME COMMAND...: until the command succeeds, while NAME lives.
wait_for_server() {
  local name=$1 attempt
  shift
  for ((attempt = 0; attempt < 150; attempt++)); do
    if "$@"; then return; fi
    is_running "$name" || break
    sleep 0.2
  done
  fail "The $name did not start." "Its last words: $(tail -n 3 "$DATA/$name.log" 2> /dev/null)"
}

# stop_recorded NAME: end what an earlier demo started, by its pid.
stop_recorded() {
  local pid file=$STATE/$1.pid attempt
  [[ -f $file ]] || return 0
  pid=$(< "$file")
  rm -f "$file"
  tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q "$VENV" || return 0
  kill -TERM "$pid" 2> /dev/null || return 0
  for ((attempt = 0; attempt < 50; attempt++)); do
    kill -0 "$pid" 2> /dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-$pid" 2> /dev/null || true
}

# Until Ctrl+C, until one of the servers dies, or until another script/demo ends them.
wait_for_the_end() {
  local name
  while sleep 1; do
    for name in worker consoles daphne; do
      is_own "$name" ||
        fail "Another script/demo ended this one." "To start it again: script/demo."
      is_running "$name" ||
        fail "The $name ended by itself." "Its last words are in $DATA/$name.log."
    done
  done
}

# A script/demo --clean beside this one has servers of its own there.
stop_own_servers() {
  local name
  for name in daphne consoles worker; do
    if is_own "$name"; then stop_recorded "$name"; fi
  done
}

stop_product() {
  stop_recorded daphne
  stop_recorded consoles
  stop_recorded worker
}

# run_command ACCOUNT/NAME COMMAND [EXAMPLE]
run_command() {
  local token
  token=$(make_token) || return
  TESTBED_TOKEN=$token PYTHONPATH=$CHECKOUT "$VENV/bin/python" "$LAB/run_command.py" "$URL" "$@"
}

# The administrator's, for a day, in place of the one before.
make_token() {
  TESTBED_LOG_LEVEL=WARNING manage shell -v 0 -c "
from django.contrib.auth.models import User
from testbed.access.tokens import make_token
from testbed.models import ApiToken
admin = User.objects.get(username='$ADMIN')
ApiToken.objects.filter(user=admin, name='demo').delete()
print(make_token(admin, 'demo', ('run', 'edit', 'manage'), 1)[1])"
}

show_result() {
  say ""
  say "What is running where:"
  manage status "$TESTBED" --now
  show_address
}

show_address() {
  say ""
  say "Open      $URL/testbeds/$TESTBED/"
  say "Sign in   $ADMIN / $(< "$ADMIN_PASSWORD_FILE")"
}

clean() {
  [[ -d $DATA ]] || { say "There is nothing to remove."; return; }
  stop_product
  if [[ -x $VENV/bin/python && -e $DATA/db.sqlite3 ]]; then
    step "Stop every testbed" take_down_all || true
  fi
  step "Remove the second testbed host" "$LAB/namespace-host" stop "$HOST_B" "$HOST_B_DIR"
  if switch_answers > /dev/null 2>&1; then detach_underlay "$MAIN_BRIDGE"; fi
  if [[ -e /sys/class/net/tbdemo0 ]]; then ip link delete tbdemo0; fi
  # Another installation on this machine may have testbeds up.
  if command -v nft > /dev/null && ! compgen -G '/sys/class/net/t[0-9]*' > /dev/null; then
    as_root nft delete table inet testbed 2> /dev/null || true
  fi
  step "Stop the daemons that the demo started" stop_started_daemons "$STATE"
  rm -rf "$DATA"
  say "The demo is removed."
}

# Through the product again: it alone knows what belongs to which testbed.
take_down_all() {
  start_product_for_clean
  local name
  for name in $(manage shell -v 0 -c "
from testbed.models import Testbed
left = Testbed.objects.exclude(condition__in=['empty', 'generated', 'down'])
print(*(one.full_name for one in left.select_related('owner')))"); do
    run_command "$name" down
  done
  stop_product
}

start_product_for_clean() {
  ensure_redis "$DATA/redis.sock" "$STATE"
  if [[ -d $HOST_B_DIR ]]; then
    ensure_libvirtd "$STATE"
    ensure_openvswitch "$STATE"
    make_host_b
  fi
  start_worker
  start_daphne
}
