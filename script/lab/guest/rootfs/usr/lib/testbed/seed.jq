# The seed -> two shell functions that call those in network and first-boot:
# configure_interfaces (every boot) and configure_instance (first boot), the latter
# ending in run_commands. What is not JSON gives functions that say so.

def complain($what): "echo 'test guest: \($what) is not JSON, ignored'";

def ethernets: (.network // .).ethernets // {} | to_entries[];

def interface_calls:
  (ethernets | select(.value.match.macaddress)
    | @sh "match_interface \(.key) \(.value.match.macaddress | ascii_downcase) \(.value["set-name"] // "")"),
  "finish_renames",
  (ethernets | .key as $key | .value
    | (.mtu // empty | @sh "set_mtu \($key) \(.)"),
      @sh "bring_up \($key)",
      (.addresses // [] | .[] | @sh "add_address \($key) \(.)"),
      (.gateway4 // empty | @sh "add_route \($key) default \(.)"),
      (.routes // [] | .[] | @sh "add_route \($key) \(.to) \(.via)"),
      (.nameservers.search // [] | select(length > 0)
        | @sh "add_search \($key) \(join(" "))"),
      (.nameservers.addresses // [] | .[] | @sh "add_nameserver \($key) \(.)")),
  (ethernets | select(.value.dhcp4)
    | @sh "request_lease \(.key) \(if .value.optional then "optional" else "" end)");

def as_list: if type == "array" then . elif type == "string" then [.] else [] end;

def command: if type == "array" then @sh "\(.)" else @sh "sh -c \(.)" end;

# "default" is the user that an image has by itself.
def user($all):
  if type == "string" then
    {name: "testbed", sudo: "ALL=(ALL) NOPASSWD:ALL",
     ssh_authorized_keys: ($all.ssh_authorized_keys // [])}
  else . end
  | . + {home: (.homedir // (if .name == "root" then "/root" else "/home/" + .name end))};

def instance_calls:
  . as $all
  | (.hostname // empty | @sh "set_host_name \(.)"),
    (.users // ["default"] | .[] | user($all) | . as $user
      | @sh "create_user \(.name) \(.shell // "/bin/sh") \(.home)",
        (.ssh_authorized_keys // [] | .[] | @sh "authorize_key \($user.home) \(.)"),
        (.sudo | as_list[] | @sh "grant_sudo \($user.name) \(.)")),
    (.ssh_keys.ed25519_private // empty | @sh "install_host_key \(.)"),
    (.write_files // [] | .[]
      | @sh "write_file \(.path) \(.permissions // "0644") \(.owner // "root:root") \(.encoding // "") \(.content // "")");

def parsed: try (sub("^#cloud-config[^\n]*\n"; "") | fromjson) catch null;

($user | parsed) as $user_data
| ($network | parsed) as $network_config
| "configure_interfaces() {",
  (if $network_config then $network_config | interface_calls
   else if $network == "" then empty else complain("network-config") end,
     "lease_everywhere" end),
  "}",
  "configure_instance() {",
  (if $user_data then $user_data | instance_calls
   elif $user == "" then ":" else complain("user-data") end),
  "}",
  "run_commands() {",
  "  :",
  ($user_data.runcmd // [] | .[] | command),
  "}"
