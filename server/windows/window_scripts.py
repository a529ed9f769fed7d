"""What the Redis does in one step with one symbol's window: the Lua scripts, and how a symbol's keys are named.

Owns the stored form: a hash (`epoch`: whose turn it is to write; `writer`: the epoch of the last write; `revision`,
`sequence`, `count`, `head`; `token`, `before`: how to undo the newest hold) and a list of entries, oldest first. Both
names carry the same hash tag, so that a cluster keeps them in one slot. Knows no client library.

Epochs are the Redis's own time in microseconds, or one more than the last where that is later: they go on rising when
the Redis has lost everything, so that a holder from before the loss never wins over one from after it. They fit into
the 53 bits that Lua's numbers hold exactly, until the year 2255; sequences may not, and are compared as text.

A script writes with HSET first: a Redis that is out of memory refuses a script's first write alone, and a refusal after
it would leave half of the change behind. One that finds a key of another type, or a list that lost its hash or the
other way round (each may expire or be evicted alone), takes the symbol for absent; the next full write heals it.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple
from urllib.parse import quote

from server.windows.window_key import WindowKey

_PREFIX: Final = "tickserve:w1:"


class Script(NamedTuple):
    """One script: its text, and the digest that the Redis knows it by."""

    text: str
    sha: str


def _script(text: str) -> Script:
    return Script(text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_STORED = """
local function stored(...)
  local values = redis.pcall('HMGET', KEYS[1], 'count', ...)
  local length = redis.pcall('LLEN', KEYS[2])
  if values.err or type(length) == 'table' or tonumber(values[1] or '0') ~= length then
    return nil, values.err
  end
  return values
end
"""

HOLD: Final = _script(
    _STORED
    + """
local values, wrong_type = stored('epoch', 'head')
local before = '0'
if wrong_type then
  redis.call('DEL', KEYS[1])
else
  before = redis.call('HGET', KEYS[1], 'epoch') or '0'
end
local now = redis.call('TIME')
local epoch = string.format('%.0f', math.max(tonumber(before) + 1, now[1] * 1000000 + now[2]))
redis.call('HSET', KEYS[1], 'epoch', epoch, 'token', ARGV[2], 'before', before)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if not values or not values[3] then
  redis.call('HDEL', KEYS[1], 'head', 'revision', 'sequence', 'count', 'writer')
  redis.call('DEL', KEYS[2])
  return {epoch, before, false}
end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return {epoch, before, values[3], unpack(redis.call('LRANGE', KEYS[2], 0, -1))}
"""
)
"""Takes a symbol over. Arguments: time to live in ms, a token for `UNDO`.

Answers the new epoch, the one before (0: none), the head (false: nothing is stored) and all entries.
"""

UNDO: Final = _script("""
local values = redis.pcall('HMGET', KEYS[1], 'token', 'before', 'head')
if values.err or values[1] ~= ARGV[1] then
  return 0
end
if values[2] == '0' and not values[3] then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'epoch', values[2])
  redis.call('HDEL', KEYS[1], 'token', 'before')
end
return 1
""")
"""Gives a symbol back to whoever had it before the hold with this token, if nobody has taken it since."""

READ: Final = _script(
    _STORED
    + """
local values = stored('epoch', 'head')
if not values or not values[2] then
  return {}
end
return {values[3] or '', unpack(redis.call('LRANGE', KEYS[2], -ARGV[1], -1))}
"""
)
"""Answers the head (empty: opened, nothing applied yet) and the newest entries, as many as asked for; or nothing."""

WRITE: Final = _script(
    _STORED
    + """
local epoch, previous, revision = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local replace = ARGV[6] == '1'
local values, wrong_type = stored('epoch', 'writer', 'revision', 'sequence')
if not values and not wrong_type and epoch < tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') then
  return -1
end
local writer, last = 0, 0
if values then
  if epoch < tonumber(values[2] or '0') then
    return -1
  end
  writer, last = tonumber(values[3] or '0'), tonumber(values[4] or '0')
  if writer == epoch and last == revision then
    redis.call('PEXPIRE', KEYS[1], ARGV[8])
    redis.call('PEXPIRE', KEYS[2], ARGV[8])
    return 1
  end
end
if replace then
  if values and writer == epoch and last > revision then
    return 0
  end
elseif not values or epoch ~= tonumber(values[2] or '0') or last ~= previous or (values[5] or '0') ~= ARGV[4] then
  return 0
end
if wrong_type then
  redis.call('DEL', KEYS[1])
end
local added = #ARGV - 9
local count = added
if not replace then
  count = tonumber(values[1] or '0') + added
end
count = math.min(count, tonumber(ARGV[7]))
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'writer', ARGV[1], 'revision', ARGV[3], 'sequence', ARGV[5],
  'head', ARGV[9], 'count', count)
if replace then
  redis.call('DEL', KEYS[2])
end
if added > 0 then
  redis.call('RPUSH', KEYS[2], unpack(ARGV, 10))
  redis.call('LTRIM', KEYS[2], -ARGV[7], -1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('PEXPIRE', KEYS[2], ARGV[8])
return 1
"""
)
"""Writes one `WindowChange`: all of it, or nothing. Answers a `StoreWord`.

Arguments: epoch, previous revision, revision, previous sequence, sequence, 1 to replace, most entries, time to live in
ms, head, entries. A write that is stored already is accepted again: its answer may have got lost. A full write from a
packet that was overtaken by a later one of the same epoch is not.
"""

TOUCH: Final = _script(
    _STORED
    + """
local values = stored('epoch', 'revision')
if not values or not values[2] then
  return 0
end
if tonumber(ARGV[1]) < tonumber(values[2]) then
  return -1
end
if ARGV[1] ~= values[2] or tonumber(values[3] or '0') < tonumber(ARGV[3]) then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
)
"""Keeps a quiet symbol alive. Arguments: epoch, time to live in ms, the revision that was confirmed.

Answers as `WRITE` does. A lower revision is what a failover leaves where the last writes had not reached the replica
that was promoted.
"""


def keys_of(key: WindowKey) -> tuple[str, str]:
    """Returns the names of a symbol's hash and list."""
    # Quoted, so that no brace ends the hash tag early and no two keys have one name.
    tag = "|".join(quote(str(part), safe="/:") for part in key)
    return f"{_PREFIX}{{{tag}}}:window", f"{_PREFIX}{{{tag}}}:entries"
