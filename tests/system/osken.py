"""Runs os-ken's manager with the applications that are named, as its own program does. Started by test_real_controllers.

    python3 osken.py FOLDER ARGUMENT...      FOLDER has os-ken and what it needs (scripts/setup test)"""
import sys

sys.path.insert(0, sys.argv[1])
del sys.argv[1]

import eventlet.wsgi  # noqa: E402

# the applications' web server is of a time when eventlet had this name; it is for websockets alone
if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
    eventlet.wsgi.ALREADY_HANDLED = b""

# has the options of the web server known
import os_ken.app.wsgi as wsgi  # noqa: E402
from os_ken.base.app_manager import AppManager  # noqa: E402
from os_ken.cmd.manager import main  # noqa: E402
from os_ken.lib import hub  # noqa: E402

instantiate = AppManager.instantiate_apps


def with_web(self, *words, **named):
    """Newer managers start no web server."""
    threads = instantiate(self, *words, **named)
    server = wsgi.start_service(self)
    return threads + ([hub.spawn(server)] if server else [])


AppManager.instantiate_apps = with_web

main()
