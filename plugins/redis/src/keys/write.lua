-- Replaces a key's value in one step, whatever its type.
-- KEYS[1]   the key
-- ARGV[1]   'set', 'nx' (only where there is none), 'xx' (only where there is one), 'same' (xx, of a fitting type)
-- ARGV[2]   milliseconds to live, 'none', or 'keep'
-- ARGV[3]   the types that the value fits, separated by spaces; the first is the default
-- ARGV[4..] the value
-- Answers {outcome, type before, type now, milliseconds left}.
local key, condition, expiry = KEYS[1], ARGV[1], ARGV[2]
local before = redis.call('TYPE', key)['ok']
local existed = before ~= 'none'
if existed and condition == 'nx' then return {'exists', before} end
if not existed and condition ~= 'set' and condition ~= 'nx' then return {'absent', before} end

local now
for fit in string.gmatch(ARGV[3], '%a+') do
  if not now or fit == before then now = fit end
end
if condition == 'same' and now ~= before then return {'mismatch', before} end

local left = redis.call('PTTL', key)
local writers = {hash = {'HSET', 2}, list = {'RPUSH', 1}, set = {'SADD', 1}, zset = {'ZADD', 2}}

-- A write that the server would refuse (no memory, no permission) must not cost the old value. So the first one is
-- tried on the old value, which is about to go; only its being of another type is no refusal.
local function try(...)
  local tried = redis.pcall(...)
  if type(tried) == 'table' and tried['err'] and not string.find(tried['err'], 'WRONGTYPE', 1, true) then
    return tried
  end
end
if existed and now ~= 'string' then
  local refused
  if now == 'stream' then
    refused = try('XADD', key, '*', ARGV[6], ARGV[7])
  else
    refused = try(writers[now][1], key, unpack(ARGV, 4, 3 + writers[now][2]))
  end
  if refused then return refused end
  redis.call('DEL', key)
end

if now == 'string' then
  redis.call('SET', key, ARGV[4])
elseif now == 'stream' then
  local at = 4
  while at <= #ARGV do
    local fields = tonumber(ARGV[at + 1])
    redis.call('XADD', key, ARGV[at], unpack(ARGV, at + 2, at + 1 + fields))
    at = at + 2 + fields
  end
else
  -- Lua's stack holds some thousands of arguments; 5000 is even, so pairs stay together.
  for from = 4, #ARGV, 5000 do
    redis.call(writers[now][1], key, unpack(ARGV, from, math.min(from + 4999, #ARGV)))
  end
end

if expiry ~= 'keep' and expiry ~= 'none' then
  redis.call('PEXPIRE', key, expiry)
elseif expiry == 'keep' and left >= 0 then
  redis.call('PEXPIRE', key, math.max(left, 1))
end
return {'done', before, now, redis.call('PTTL', key)}
