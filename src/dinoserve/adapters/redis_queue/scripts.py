"""What Redis does in one step, in its own Lua, by its own clock.

A lane is a sorted set: the keys of messages by the microsecond from which a worker may
take them. Taking one moves it a lease into the future, where it comes back from if
nobody ends it; that new time is also what shows who has it.
"""

from typing import Final

_COMMON = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function time(of) return string.format('%.0f', of) end
local function mend(key, wanted)
  local kind = redis.call('TYPE', key).ok
  if kind ~= wanted and kind ~= 'none' then redis.call('UNLINK', key) end
end
"""

SEND: Final = (
    _COMMON
    + """
mend(KEYS[1], 'zset')
mend(KEYS[2], 'set')
redis.call('SADD', KEYS[2], ARGV[1])
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'NX', time(now + ARGV[i]), ARGV[i + 1])
end
redis.call('PUBLISH', ARGV[2], '')
"""
)
"""Keys: a lane, the set of kinds. Arguments: the kind, the channel of news, then of
each message how many microseconds it waits, and its key. What is there stays as it
is."""

TURN: Final = (
    _COMMON
    + """
local free, lease, at = tonumber(ARGV[1]), tonumber(ARGV[2]), 3
local function each(what)
  local count = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, count do
    local lane, member = KEYS[tonumber(ARGV[at])], ARGV[at + 1]
    local score = redis.call('ZSCORE', lane, member)
    what(lane, member, score and tonumber(score) == tonumber(ARGV[at + 2]))
    at = at + 3
  end
end
for _, lane in ipairs(KEYS) do mend(lane, 'zset') end
each(function(lane, member, is_held)
  if is_held then redis.call('ZREM', lane, member) end
end)
each(function(lane, member, is_held)
  if is_held then redis.call('ZADD', lane, time(now), member) end
end)
local kept = {}
each(function(lane, member, is_held)
  if is_held then redis.call('ZADD', lane, time(now + lease), member) end
  kept[#kept + 1] = is_held and time(now + lease) or ''
end)
local first = {}
for i, lane in ipairs(KEYS) do
  local rows = free > 0 and redis.call(
    'ZRANGEBYSCORE', lane, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, free + 1) or {}
  for j = 1, #rows, 2 do
    first[#first + 1] = {tonumber(rows[j + 1]), i, rows[j]}
  end
end
table.sort(first, function(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return a[3] < b[3]
end)
local taken, wait = {}, ''
for _, row in ipairs(first) do
  if row[1] > now or #taken == free then
    wait = time(math.max(row[1] - now, 0))
    break
  end
  redis.call('ZADD', KEYS[row[2]], time(now + lease), row[3])
  taken[#taken + 1] = {row[2], row[3]}
end
return {kept, taken, time(now + lease), wait}
"""
)
"""Keys: lanes. Arguments: how many messages may be taken, the lease in microseconds,
and three lists, each with its length before it: what has ended, what is given back,
what is still held; of each the number of its lane from 1, its key, and the time under
which it is held.

Gives the new times of what is still held, empty where another has it; lane and key of
what was taken, the longest due first; the time under which that is held; and how many
microseconds are left until the next, empty if none is there."""
