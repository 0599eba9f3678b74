"""OpenStack's ovsdbapp at a server that a switch follows: `app.py REMOTE BRIDGE TYPE`. Ends with "ok" or a traceback. TYPE is the
ports' type."""
import sys

from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.open_vswitch import impl_idl

REMOTE, BRIDGE, TYPE = sys.argv[1:]

idl = connection.OvsdbIdl.from_server(REMOTE, "Open_vSwitch")
api = impl_idl.OvsdbIdl(connection.Connection(idl=idl, timeout=30))


def do(command):
    return command.execute(check_error=True)


def same(got, wanted):
    assert got == wanted, (got, wanted)


do(api.add_br(BRIDGE, may_exist=True, datapath_type="netdev"))
same((do(api.br_exists(BRIDGE)), do(api.br_exists("other")), BRIDGE in do(api.list_br())), (True, False, True))
do(api.set_fail_mode(BRIDGE, "secure"))
with api.transaction(check_error=True) as t:
    for name in ("a1", "a2"):
        t.add(api.add_port(BRIDGE, name, may_exist=False, type=TYPE, external_ids={"iface-id": name}))
    t.add(api.db_set("Port", "a1", ("tag", 7), ("other_config", {"k": "v"})))
    t.add(api.db_set("Interface", "a1", ("mtu_request", 1400)))
same(sorted(do(api.list_ports(BRIDGE))), ["a1", "a2"])
same((do(api.port_to_br("a1")), do(api.iface_to_br("a2")), sorted(do(api.list_ifaces(BRIDGE)))), (BRIDGE, BRIDGE, ["a1", "a2"]))
same((do(api.db_get("Port", "a1", "tag")), do(api.db_get("Port", "a1", "other_config"))), (7, {"k": "v"}))
# a transaction comes back when the switch is done
same((do(api.db_get("Interface", "a1", "ofport")), do(api.db_get("Interface", "a2", "ofport"))), (1, 2))
same(do(api.db_get("Interface", "a1", "error")), [])
same([r["name"] for r in do(api.db_find("Port", ("tag", "=", 7), columns=["name"]))], ["a1"])
do(api.db_add("Port", "a2", "trunks", 3, 4))
do(api.db_remove("Port", "a2", "trunks", 3))
same(do(api.db_get("Port", "a2", "trunks")), 4)
do(api.db_clear("Port", "a2", "trunks"))
do(api.set_controller(BRIDGE, ["tcp:127.0.0.1:6653"]))
same(do(api.get_controller(BRIDGE)), ["tcp:127.0.0.1:6653"])
do(api.del_controller(BRIDGE))
do(api.br_set_external_id(BRIDGE, "x", "y"))
same(do(api.br_get_external_id(BRIDGE, "x")), "y")
do(api.add_manager("ptcp:0:127.0.0.1"))
same(do(api.get_manager()), ["ptcp:0:127.0.0.1"])
do(api.remove_manager("ptcp:0:127.0.0.1"))
try:
    do(api.add_port("nope", "a3"))
    raise AssertionError("a port of no bridge")
except Exception as e:
    assert "nope" in str(e), e
do(api.del_port("a1", BRIDGE))
same(do(api.list_ports(BRIDGE)), ["a2"])
do(api.del_br(BRIDGE))
same(BRIDGE in do(api.list_br()), False)
print("ok")
