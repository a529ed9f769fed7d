"""What callers see when replicas come and go: the slowest calls at scale-downs and rolling updates, and why.

`callers` send unary calls one after another; `stage` runs two replicas and changes their number, or their settings, as
the launcher does on SIGHUP; `proxy_log` collects HAProxy's own log, which says where each call's time went; `census`
notes which processes began and ended when. `experiment` joins them by the clock of the machine.
"""
