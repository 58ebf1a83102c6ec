-- Makes a key hold a value, whole or not at all. What the key held is changed into the new value, and the key is never
-- gone meanwhile: in a cluster's slot that is moving, a key that is gone can't be written again. So whatever belongs to
-- the key, its expiry and the groups of a stream, stays with it, and needs no right of its own.
-- KEYS[1]   the key
-- ARGV[1]   'set', 'nx' (only where there is none), 'xx' (only where there is one), 'same' (xx, of a fitting type)
-- ARGV[2]   'carry': what belongs to fields and entries that stay is kept; 'fresh': it is not
-- ARGV[3]   milliseconds to live, 'none', or 'keep'
-- ARGV[4]   the types that the value fits, separated by spaces; the first is the default
-- ARGV[5..] the value
-- Answers {'done', type before, type now, milliseconds left where they may be asked}. Otherwise nothing has changed:
-- {'exists' | 'absent' | 'mismatch' | 'replace', type before}, where 'replace' is what takes more than one script;
-- {'groups', type before, name…} where consumer groups would go; {'unable', type before, reason}.
local key, condition, carry, expiry = KEYS[1], ARGV[1], ARGV[2] == 'carry', ARGV[3]
local VALUE = 5
-- Lua's stack holds some thousands of arguments; an even number, so that pairs stay together.
local AT_ONCE = 5000
-- Asked to remove it, a server says whether it would remove something. No one has a member of this name.
local NOBODY = 'studio-gateway:4f1d7c52a9b84b0e8d1f3c6a7e905b21'
local before, changed, undo

if redis.replicate_commands then redis.replicate_commands() end

local function write(...)
  local answer = redis.call(...)
  changed = true
  return answer
end

local function write_all(name, arguments)
  for from = 1, #arguments, AT_ONCE do
    write(name, key, unpack(arguments, from, math.min(from + AT_ONCE - 1, #arguments)))
  end
end

local function value(first)
  local arguments = {}
  for at = first or VALUE, #ARGV do arguments[#arguments + 1] = ARGV[at] end
  return arguments
end

-- Everything that may be refused is tried before the first change; what can't be tried comes first and is undone.
local function prepare_expiry()
  local probe = function()
    local answer = redis.pcall('PEXPIRE', key, 'x')
    if type(answer) == 'table' and answer.err and not string.find(answer.err, 'integer', 1, true) then error(answer.err) end
  end
  if expiry == 'none' then
    local left = before == 'none' and -1 or redis.call('PTTL', key)
    if left >= 0 then
      probe()
      redis.call('PERSIST', key)
      undo = function() redis.call('PEXPIRE', key, string.format('%.0f', math.max(left, 1))) end
    end
  elseif expiry ~= 'keep' then
    probe()
  end
end

-- A server without memory left refuses the first write of a script only, and of what follows takes anything. So the
-- first is one that it would refuse for that, and else for what is wrong with it.
local function require_memory()
  for _, probe in ipairs({{'ZADD', key, 'x', NOBODY}, {'HSET', key, 'a', 'b', 'c'}, {'SET', key, '', 'x'}}) do
    local answer = redis.pcall(unpack(probe))
    local reason = type(answer) == 'table' and answer.err or ''
    if string.find(reason, 'OOM', 1, true) then error(answer) end
    -- Where it is not allowed it says nothing of memory; the next one may be.
    if string.find(reason, 'float', 1, true) or string.find(reason, 'wrong number', 1, true)
      or string.find(reason, 'syntax', 1, true) then return end
  end
end

-- Removes the members that are not given, a page at a time. `width`: how many parts a member has in a page.
local function remove_others(scan, remove, width, given)
  local cursor = '0'
  repeat
    local page, gone = redis.call(scan, key, cursor, 'COUNT', 1000), {}
    cursor = page[1]
    for at = 1, #page[2], width do
      if given[page[2][at]] == nil then gone[#gone + 1] = page[2][at] end
    end
    if #gone > 0 then write_all(remove, gone) end
  until cursor == '0'
end

local function members(add, scan, remove, width, first, step)
  local given = {}
  for at = VALUE + first, #ARGV, step do given[ARGV[at]] = true end
  if before ~= 'none' then
    redis.call(scan, key, '0', 'COUNT', 1)
    redis.call(remove, key, NOBODY)
  end
  prepare_expiry()
  write_all(add, value())
  if before ~= 'none' then remove_others(scan, remove, width, given) end
end

-- Times of fields whose values change: HSET drops them.
local function times_of(fields)
  local times = {}
  for from = 1, #fields, AT_ONCE do
    local some = {unpack(fields, from, math.min(from + AT_ONCE - 1, #fields))}
    local answer = redis.pcall('HPEXPIRETIME', key, 'FIELDS', #some, unpack(some))
    -- A server that does not know the command has no such times; whoever may not ask keeps to what HSET does.
    if type(answer) ~= 'table' or answer.err then return {} end
    for at, time in ipairs(answer) do
      if time >= 0 then times[#times + 1] = {some[at], string.format('%.0f', time)} end
    end
  end
  local first = times[1]
  if first then
    local answer = redis.pcall('HPEXPIREAT', key, first[2], 'FIELDS', 1, first[1])
    if type(answer) ~= 'table' or answer.err then return {} end
  end
  return times
end

local function hash()
  local given, names = {}, {}
  for at = VALUE, #ARGV, 2 do
    if given[ARGV[at]] == nil then names[#names + 1] = ARGV[at] end
    given[ARGV[at]] = ARGV[at + 1]
  end
  local news, others = {}, {}
  if before ~= 'none' and carry then
    for from = 1, #names, AT_ONCE do
      local some = {unpack(names, from, math.min(from + AT_ONCE - 1, #names))}
      local held = redis.call('HMGET', key, unpack(some))
      for at, name in ipairs(some) do
        if held[at] ~= given[name] then
          news[#news + 1] = name
          news[#news + 1] = given[name]
          if held[at] then others[#others + 1] = name end
        end
      end
    end
  else
    news = value()
  end
  local times = {}
  if before ~= 'none' then
    times = times_of(others)
    redis.call('HSCAN', key, '0', 'COUNT', 1)
    redis.call('HDEL', key, NOBODY)
  end
  prepare_expiry()
  write_all('HSET', news)
  for _, field in ipairs(times) do write('HPEXPIREAT', key, field[2], 'FIELDS', 1, field[1]) end
  if before ~= 'none' then remove_others('HSCAN', 'HDEL', 2, given) end
end

local function list()
  if before ~= 'none' then redis.call('LTRIM', key, 0, -1) end
  prepare_expiry()
  write_all('RPUSH', value())
  if before ~= 'none' then write('LTRIM', key, VALUE - #ARGV - 1, -1) end
end

local function text()
  if expiry == 'none' then
    write('SET', key, ARGV[VALUE])
  elseif expiry ~= 'keep' then
    write('SET', key, ARGV[VALUE], 'PX', expiry)
  else
    write('SET', key, ARGV[VALUE], 'KEEPTTL')
  end
end

-- Ids have more digits than a number of Lua is exact for.
local function is_less(one, other)
  local a, b = {string.match(one, '^(%d+)-(%d+)$')}, {string.match(other, '^(%d+)-(%d+)$')}
  for part = 1, 2 do
    if a[part] ~= b[part] then
      if #a[part] ~= #b[part] then return #a[part] < #b[part] end
      return a[part] < b[part]
    end
  end
  return false
end

-- Fields with the values of a repeated name together, as JSON has them.
local function grouped(pairs_of, from, to)
  local order, values, flat = {}, {}, {}
  for at = from, to, 2 do
    local name = pairs_of[at]
    if not values[name] then
      order[#order + 1] = name
      values[name] = {}
    end
    table.insert(values[name], pairs_of[at + 1])
  end
  for _, name in ipairs(order) do
    for _, one in ipairs(values[name]) do
      flat[#flat + 1] = name
      flat[#flat + 1] = one
    end
  end
  return flat
end

local function are_same(held, entry)
  if #held ~= entry.to - entry.from + 1 then return false end
  local one, other = grouped(held, 1, #held), grouped(ARGV, entry.from, entry.to)
  for at = 1, #one do
    if one[at] ~= other[at] then return false end
  end
  return true
end

local function read_entries()
  local entries, at = {}, VALUE
  while at <= #ARGV do
    local fields = tonumber(ARGV[at + 1])
    entries[#entries + 1] = {id = ARGV[at], from = at + 2, to = at + 1 + fields}
    at = at + 2 + fields
  end
  return entries
end

local function append(entries, first)
  for at = first, #entries do
    local entry = entries[at]
    entry.id = write('XADD', key, entry.id, unpack(ARGV, entry.from, entry.to))
  end
end

-- Ids that the stream has and the entries have not, and the first entry that it has not; nothing where an entry would
-- have to go before its last one.
local function compare(entries, last)
  local gone, at, start = {}, 1, '-'
  while true do
    local page = redis.call('XRANGE', key, start, '+', 'COUNT', 500)
    if #page == 0 then break end
    for _, held in ipairs(page) do
      local entry = entries[at]
      if entry and entry.id == held[1] and are_same(held[2], entry) then
        at = at + 1
      elseif entry and not is_less(held[1], entry.id) then
        return nil
      else
        gone[#gone + 1] = held[1]
      end
      start = '(' .. held[1]
    end
  end
  if entries[at] and not is_less(last, entries[at].id) then return nil end
  return gone, at
end

local function stream()
  local entries = read_entries()
  local function are_small(first)
    for at = first, #entries do
      if entries[at].to - entries[at].from >= AT_ONCE then return false end
    end
    return true
  end
  if before == 'none' then
    if not are_small(1) then return {'replace', before} end
    prepare_expiry()
    return append(entries, 1)
  end
  if not carry then return {'replace', before} end

  local about, answer = {}, redis.call('XINFO', 'STREAM', key)
  for at = 1, #answer, 2 do about[answer[at]] = answer[at + 1] end
  local last = about['last-generated-id']
  local function anew()
    if about['groups'] == 0 then return {'replace', before} end
    local groups = {'groups', before}
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do groups[#groups + 1] = group[2] end
    return groups
  end
  redis.call('XDEL', key, '0-0')
  if entries[1].id ~= '*' then
    local gone, first = compare(entries, last)
    if not gone or not are_small(first) then return anew() end
    prepare_expiry()
    append(entries, first)
    if #gone > 0 then write_all('XDEL', gone) end
    return
  end
  -- There must be room for the ids of all.
  if not are_small(1) or string.find(last, '^18446744073709551615-') then return anew() end
  local gone = compare({}, last)
  prepare_expiry()
  append(entries, 1)
  if #gone > 0 then write_all('XDEL', gone) end
end

local writers = {
  string = text,
  hash = hash,
  list = list,
  set = function() return members('SADD', 'SSCAN', 'SREM', 1, 0, 1) end,
  zset = function() return members('ZADD', 'ZSCAN', 'ZREM', 2, 1, 2) end,
  stream = stream,
}

local function run()
  before = redis.call('TYPE', key)['ok']
  if before ~= 'none' and condition == 'nx' then return {'exists', before} end
  if before == 'none' and (condition == 'xx' or condition == 'same') then return {'absent', before} end
  local now
  for fit in string.gmatch(ARGV[4], '%a+') do
    if not now or fit == before then now = fit end
  end
  if condition == 'same' and now ~= before then return {'mismatch', before} end
  if now ~= before and before ~= 'none' and now ~= 'string' then return {'replace', before} end
  if now ~= 'string' then require_memory() end
  local refusal = writers[now]()
  if refusal then return refusal end
  if now ~= 'string' and expiry ~= 'keep' and expiry ~= 'none' then write('PEXPIRE', key, expiry) end
  local left = redis.pcall('PTTL', key)
  return {'done', before, now, type(left) == 'number' and left or nil}
end

local worked, answer = pcall(run)
if worked then return answer end
local reason = type(answer) == 'table' and answer.err or tostring(answer)
if changed then return {'broken', before, reason} end
if undo then undo() end
return {'unable', before or 'none', reason}
