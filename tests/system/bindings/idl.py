"""Open vSwitch's Python bindings at a server: `idl.py REMOTE BRIDGE [TYPE]`. Ends with "ok" or a traceback.

What a controller written with them does: rows made, changed, removed, references, waits for the switch, conflicts, parts of
maps and sets, conditions, locks. TYPE is the ports' type where a switch follows; without it nobody is waited for."""
import sys
import time

import ovs.db.idl
import ovs.jsonrpc
import ovs.poller
import ovs.stream
from ovs.db.idl import Transaction

REMOTE, BRIDGE = sys.argv[1:3]
TYPE = sys.argv[3] if len(sys.argv) > 3 else None
SWITCH = {"Open_vSwitch": ["bridges", "cur_cfg", "next_cfg", "other_config", "external_ids"],
          "Bridge": ["name", "ports", "external_ids", "fail_mode", "datapath_type"],
          "Port": ["name", "interfaces", "tag", "trunks", "vlan_mode", "external_ids"],
          "Interface": ["name", "type", "ofport", "options", "external_ids"]}


def until(what, condition, *idls):
    end = time.monotonic() + 30
    while True:
        for idl in idls:
            idl.run()
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited for {what}"
        poller = ovs.poller.Poller()
        for idl in idls:
            idl.wait(poller)
        poller.timer_wait(1000)
        poller.block()


def connect(tables=None, lock=None):
    helper = ovs.db.idl.SchemaHelper(None, SCHEMA)
    for table, columns in (tables or SWITCH).items():
        helper.register_columns(table, columns)
    idl = ovs.db.idl.Idl(REMOTE, helper)
    if lock:
        idl.set_lock(lock)
    until("the first rows", lambda: idl.has_ever_connected(), idl)
    return idl


def commit(idl, change, wanted=Transaction.SUCCESS):
    """A transaction, again while others are in its way."""
    while True:
        t = Transaction(idl)
        made = change(t)
        got = t.commit_block()
        if got == Transaction.TRY_AGAIN and wanted == Transaction.SUCCESS:
            continue
        assert got == wanted, (got, t.get_error())
        return made, t


def only(rows):
    (row,) = list(rows)
    return row


def named(idl, table, name):
    return next((r for r in idl.tables[table].rows.values() if r.name == name), None)


def fetch_schema():
    """The server's own schema, as programs fetch it that have no file."""
    error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(REMOTE))
    assert not error, error
    rpc = ovs.jsonrpc.Connection(stream)
    error, reply = rpc.transact_block(ovs.jsonrpc.Message.create_request("get_schema", ["Open_vSwitch"]))
    assert not error and not reply.error, (error, reply)
    rpc.close()
    return reply.result


def rows(idl):
    def make(t):
        root = only(idl.tables["Open_vSwitch"].rows.values())
        bridge = t.insert(idl.tables["Bridge"])
        bridge.name, bridge.datapath_type, bridge.fail_mode = BRIDGE, "netdev", "secure"
        ports = []
        for name in (BRIDGE, "p1", "p2"):
            interface, port = t.insert(idl.tables["Interface"]), t.insert(idl.tables["Port"])
            interface.name, interface.type = name, "internal" if name == BRIDGE else TYPE or "system"
            port.name, port.interfaces = name, [interface]
            ports.append(port)
        bridge.ports = ports
        root.addvalue("bridges", bridge)
        root.increment("next_cfg")
        return bridge

    if not idl.tables["Open_vSwitch"].rows:
        # a row without a column would not be written
        commit(idl, lambda t: setattr(t.insert(idl.tables["Open_vSwitch"]), "external_ids", {"by": "idl"}))
    made, t = commit(idl, make)
    uuid = t.get_insert_uuid(made.uuid)
    bridge = until("the bridge", lambda: idl.tables["Bridge"].rows.get(uuid), idl)
    assert sorted(p.name for p in bridge.ports) == sorted([BRIDGE, "p1", "p2"])
    assert {i.name for p in bridge.ports for i in p.interfaces} == {BRIDGE, "p1", "p2"}
    if TYPE:
        wanted = t.get_increment_new_value()
        until("the switch", lambda: only(idl.tables["Open_vSwitch"].rows.values()).cur_cfg >= wanted, idl)
        assert named(idl, "Interface", "p1").ofport == [1] and named(idl, "Interface", "p2").ofport == [2]
    return bridge


def parts(idl, other, bridge):
    """Keys of maps and members of sets by themselves, from two clients at a time."""
    port = named(idl, "Port", "p1")
    commit(idl, lambda t: (port.setkey("external_ids", "a", "1"), port.setkey("external_ids", "b", "2"), port.addvalue("trunks", 5)))
    theirs = until("the port", lambda: named(other, "Port", "p1"), other)
    commit(other, lambda t: (theirs.setkey("external_ids", "c", "3"), theirs.addvalue("trunks", 7)))
    # without having seen that
    commit(idl, lambda t: (port.delkey("external_ids", "a"), port.delkey("external_ids", "b", "other"), port.addvalue("trunks", 6),
                           port.delvalue("trunks", 5)))
    for it, row in ((idl, port), (other, theirs)):
        until("both changes", lambda: row.external_ids == {"b": "2", "c": "3"} and row.trunks == [6, 7], it)
    commit(idl, lambda t: setattr(port, "tag", [9]))
    until("the tag", lambda: theirs.tag == [9], other)
    t = Transaction(idl)
    t.insert(idl.tables["Open_vSwitch"]).external_ids = {"a": "second one"}
    assert t.commit_block() == Transaction.ERROR and "constraint violation" in t.get_error(), t.get_error()
    t = Transaction(idl)
    assert t.commit_block() == Transaction.UNCHANGED


def conflict(idl, other, bridge):
    """What a change relies on is not so any more: nothing of it is done."""
    theirs = until("the bridge", lambda: named(other, "Bridge", BRIDGE), other)
    commit(other, lambda t: setattr(theirs, "fail_mode", ["standalone"]))
    t = Transaction(idl)
    bridge.verify("fail_mode")
    bridge.setkey("external_ids", "x", "y")
    assert t.commit_block() == Transaction.TRY_AGAIN
    until("the change", lambda: bridge.fail_mode == ["standalone"], idl)
    assert bridge.external_ids == {}


def conditions(bridge):
    """Only rows that are asked for, and others as soon as they are."""
    idl = connect({"Port": ["name", "tag"]})
    until("all ports", lambda: len(idl.tables["Port"].rows) == 3, idl)
    idl.cond_change("Port", [["name", "==", "p1"]])
    until("one port", lambda: [p.name for p in idl.tables["Port"].rows.values()] == ["p1"], idl)
    idl.cond_change("Port", [["tag", "==", 9], ["name", "==", "p2"]])
    until("two ports", lambda: sorted(p.name for p in idl.tables["Port"].rows.values()) == ["p1", "p2"], idl)
    idl.close()


def locks():
    one = connect({"Bridge": ["name"]}, lock="mine")
    until("the lock", lambda: one.has_lock, one)
    two = connect({"Bridge": ["name"]}, lock="mine")
    until("the refusal", lambda: two.is_lock_contended, one, two)
    t = Transaction(two)
    t.insert(two.tables["Bridge"]).name = "never"
    assert t.commit_block() == Transaction.NOT_LOCKED
    one.set_lock(None)
    until("the lock", lambda: two.has_lock, one, two)
    one.close(), two.close()


def gone(idl, other, bridge):
    """What nothing refers to any more goes."""
    def remove(t):
        root = only(idl.tables["Open_vSwitch"].rows.values())
        root.delvalue("bridges", bridge)
        root.increment("next_cfg")

    _, t = commit(idl, remove)
    for it in (idl, other):
        until("rows to go", lambda: not any(it.tables[n].rows for n in ("Bridge", "Port", "Interface")), it)
    if TYPE:
        until("the switch", lambda: only(idl.tables["Open_vSwitch"].rows.values()).cur_cfg >= t.get_increment_new_value(), idl)


SCHEMA = fetch_schema()
first, second = connect(), connect()
made = rows(first)
parts(first, second, made)
conflict(first, second, made)
conditions(made)
locks()
gone(first, second, made)
print("ok")
