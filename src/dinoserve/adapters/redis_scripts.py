"""What Redis does in one step, in its own Lua; its clock decides what expired."""

from typing import Final

# 13 digits of milliseconds last until the year 2286.
_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

READ: Final = (
    _NOW
    + """
local rows, at = {}, 3
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', key) end
  local ticket = redis.call('HGET', key, '')
  if not ticket then
    ticket = ARGV[1]
    redis.call('HSET', key, '', ticket)
    redis.call('PEXPIRE', key, ARGV[2])
  end
  local row = {ticket}
  local fields = tonumber(ARGV[at])
  for j = at + 1, at + fields do
    local value = redis.call('HGET', key, ARGV[j])
    if value and (tonumber(string.sub(value, 1, 13)) or 0) > now then
      row[#row + 1] = string.sub(value, 14)
    else
      row[#row + 1] = ''
    end
  end
  at = at + fields + 1
  rows[i] = row
end
return rows
"""
)
"""Keys: owners. Arguments: a new ticket, its milliseconds, then for each key how many
fields and which. Gives for each key its ticket and the values, empty if none."""

WRITE: Final = (
    _NOW
    + """
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  if redis.call('TYPE', key).ok == 'hash'
    and redis.call('HGET', key, '') == ARGV[at + 1] then
    local ttl = tonumber(ARGV[at + 3])
    local expires = string.format('%013.0f', now + ttl)
    redis.call('HSET', key, ARGV[at + 2], expires .. ARGV[at + 4])
    if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
  end
end
"""
)
"""Keys: the owner of each entry. Arguments: of each its ticket, field, milliseconds and
value. What has another ticket is left out."""

RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
"""Key: a lock. Argument: the token of whoever may end it."""
