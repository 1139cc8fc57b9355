-- Reads each request before the transcoder does, because the transcoder passes over fields that it
-- does not know: a misspelt `capture_method` would silently capture at once. Whatever is wrong is
-- answered with the field's name, never with its value, and with what would be right.
--
-- Before this text stand three tables made from the contract (see strict_json.py):
--   OPERATIONS  list of { verb, pattern, message, in_path, variables, has_body }
--   MESSAGES    message -> field -> { kind, of, list, value, oneof }; kind texts is a list of strings
--   ENUMS       enumeration -> { names = { name -> true }, shown = the names for people }

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local DEPTH_LIMIT = 32
local STRING = { kind = "string" }
local SPACE, QUOTE, BACKSLASH, COMMA, COLON = 32, 34, 92, 44, 58
local OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST, LETTER_N = 123, 125, 91, 93, 110
local MOMENT = "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d"
local INT_LIMIT = { int32 = "2147483647", int64 = "9223372036854775807" }

-- A key is the caller's text. It is repeated only if it looks like a field's name; a long run of
-- digits may be a card number at the wrong place.
local function shown(key)
  if #key <= 64 and key:find("^[%a_][%w_]*$") and not key:find("%d%d%d%d%d%d%d") then
    return key
  end
  return "(a name that no field can have)"
end

local function fail(field, description)
  error({ field = field, description = description }, 0)
end

local function inner(path, key)
  return path == "" and key or path .. "." .. key
end

-- Tells whether two names differ by two letters at most: missing, too many, or others.
local function alike(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local before = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = byte(a, i) == byte(b, j) and 0 or 1
      before, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, before + cost)
    end
  end
  return row[#b] <= math.min(2, math.floor(#b / 3))
end

-- Returns the field that was probably meant: spelt the lowerCamel way, without its unit, one level
-- deeper, or with a slip; the first of them in the order of the alphabet.
local function meant(key, message)
  local wanted = key:gsub("%u", function(letter)
    return "_" .. letter:lower()
  end)
  local found, found_rank = nil, 4
  local function offer(name, rank)
    if rank < found_rank or (rank == found_rank and name < found) then
      found, found_rank = name, rank
    end
  end
  for name, field in pairs(MESSAGES[message]) do
    if name == wanted or sub(name, 1, #wanted + 1) == wanted .. "_" then
      offer(name, 1)
    elseif alike(wanted, name) then
      offer(name, 2)
    end
    if field.kind == "message" and not field.list and MESSAGES[field.of][wanted] then
      offer(name .. "." .. wanted, 3)
    end
  end
  return found
end

local function fail_unknown(here, key, message)
  local hint = #key <= 64 and meant(key, message)
  fail(here, "is not a field of " .. message .. (hint and "; did you mean " .. hint .. "?" or ""))
end

local function fail_enum(path, of, written)
  local wanted = "_" .. written:upper()
  for name in pairs(ENUMS[of].names) do
    if sub(name, -#wanted) == wanted then
      fail(path, "is not a name of " .. of .. "; did you mean " .. name .. "?")
    end
  end
  fail(path, "is not a name of " .. of .. ": " .. ENUMS[of].shown)
end

local function fail_whole(path, kind)
  local hint = path:find("_minor$") and "; amounts count minor units, 1099 for 10.99 EUR" or ""
  fail(path, "must be a whole number that fits " .. kind .. hint)
end

local function is_whole(digits, kind)
  local body = digits:match("^%-?(%d+)$")
  local limit = INT_LIMIT[kind]
  return body and (#body < #limit or (#body == #limit and body <= limit))
end

local function is_moment(written)
  local _, seconds_end = find(written, MOMENT)
  local rest = seconds_end and sub(written, seconds_end + 1):gsub("^%.%d+", "")
  return rest and (rest == "Z" or rest:find("^[+-]%d%d:%d%d$"))
end

-- Checks a value that is written as text: between quotes, or in a query or path.
local function check_text(field, path, written)
  if field.kind == "string" then
    return
  elseif field.kind == "enum" then
    if not ENUMS[field.of].names[written] then
      fail_enum(path, field.of, written)
    end
  elseif field.kind == "moment" then
    if not is_moment(written) then
      fail(path, "must be a moment as in RFC 3339, such as 2026-01-31T12:00:00Z")
    end
  elseif not INT_LIMIT[field.kind] then
    fail(path, "must be a " .. field.kind)
  elseif not is_whole(written, field.kind) then
    fail_whole(path, field.kind)
  end
end

local Reader = {}
Reader.__index = Reader

function Reader:broken()
  fail("body", "is not JSON: broken at byte " .. self.at)
end

-- Returns the byte of the next character that is no space and stands there; nil at the end.
function Reader:peek()
  local found = byte(self.text, self.at)
  if found and found <= SPACE then
    self.at = find(self.text, "[^ \t\r\n]", self.at) or #self.text + 1
    found = byte(self.text, self.at)
  end
  return found
end

function Reader:take(character)
  if self:peek() ~= character then
    self:broken()
  end
  self.at = self.at + 1
end

-- Returns the characters between the quotes as they are written, escapes included.
function Reader:string()
  self:take(QUOTE)
  local first = self.at
  while true do
    local stop = find(self.text, '["\\%c]', self.at)
    if not stop then
      self:broken()
    end
    local found = byte(self.text, stop)
    if found == QUOTE then
      self.at = stop + 1
      return sub(self.text, first, stop - 1)
    elseif found ~= BACKSLASH then
      self.at = stop
      self:broken()
    end
    self.at = stop + 2
  end
end

-- Returns a number or one of true, false and null as it is written.
function Reader:word()
  self:peek()
  local found = match(self.text, "^[%w%.%+%-]+", self.at)
  if not found then
    self:broken()
  end
  local known = found == "true" or found == "false" or found == "null"
  local number = found:find("^%-?%d+%.?%d*[eE]?[%+%-]?%d*$") and not found:find("^%-?0%d")
  if not known and not number then
    self:broken()
  end
  self.at = self.at + #found
  return found
end

function Reader:scalar(field, path)
  if self:peek() == QUOTE then
    return check_text(field, path, self:string())
  end
  local opening = self:peek()
  if opening == OPEN_OBJECT or opening == OPEN_LIST then
    fail(path, "must be a single value")
  end
  local word = self:word()
  if word == "null" then
    return
  elseif INT_LIMIT[field.kind] then
    if not is_whole(word, field.kind) then
      fail_whole(path, field.kind)
    end
  elseif field.kind == "enum" then
    fail(path, "must be a string, a name of " .. field.of .. ": " .. ENUMS[field.of].shown)
  elseif field.kind == "number" and word ~= "true" and word ~= "false" then
    return
  elseif field.kind ~= "boolean" or (word ~= "true" and word ~= "false") then
    fail(path, "must be a " .. (field.kind == "moment" and "string" or field.kind))
  end
end

-- Calls `member(key)` at the value of each member of an object.
function Reader:object(member)
  self:take(OPEN_OBJECT)
  if self:peek() == CLOSE_OBJECT then
    self.at = self.at + 1
    return
  end
  while true do
    local key = self:string()
    self:take(COLON)
    member(key)
    if self:peek() == CLOSE_OBJECT then
      self.at = self.at + 1
      return
    end
    self:take(COMMA)
  end
end

function Reader:list(field, path, depth)
  self:take(OPEN_LIST)
  if self:peek() == CLOSE_LIST then
    self.at = self.at + 1
    return
  end
  local number = 0
  while true do
    self:value(field, path .. "[" .. number .. "]", depth)
    number = number + 1
    if self:peek() == CLOSE_LIST then
      self.at = self.at + 1
      return
    end
    self:take(COMMA)
  end
end

function Reader:message(name, path, depth, in_path)
  local fields = MESSAGES[name]
  local seen, chosen = {}, {}
  self:object(function(key)
    local here = inner(path, shown(key))
    local field = fields[key]
    if in_path and in_path[key] then
      fail(here, "stands in the path already")
    elseif not field then
      fail_unknown(here, key, name)
    elseif seen[key] then
      fail(here, "stands twice")
    end
    seen[key] = true
    if field.oneof and self:peek() ~= LETTER_N then
      local other = chosen[field.oneof]
      if other then
        fail(here, "cannot stand beside " .. other .. ": send one of them")
      end
      chosen[field.oneof] = key
    end
    if not field.list then
      self:value(field, here, depth + 1)
    elseif self:peek() == OPEN_LIST then
      self:list(field, here, depth + 1)
    elseif self:peek() ~= LETTER_N or self:word() ~= "null" then
      fail(here, "must be a list")
    end
  end)
end

function Reader:value(field, path, depth)
  if depth > DEPTH_LIMIT then
    fail("body", "is nested too deeply")
  end
  if field.kind == "texts" then
    if self:peek() ~= OPEN_LIST then
      fail(path, "must be a list")
    end
    return self:list(STRING, path, depth + 1)
  end
  if field.kind ~= "message" and field.kind ~= "map" then
    return self:scalar(field, path)
  end
  if self:peek() ~= OPEN_OBJECT then
    if self:peek() == LETTER_N and self:word() == "null" then
      return
    end
    fail(path, "must be an object")
  end
  if field.kind == "message" then
    return self:message(field.of, path, depth)
  end
  local seen = {}
  self:object(function(key)
    local here = inner(path, shown(key))
    if seen[key] then
      fail(here, "stands twice")
    end
    seen[key] = true
    self:scalar(field.value, here)
  end)
end

local function is_tail(one)
  return one and one >= 128 and one <= 191
end

-- Returns where the character beyond ASCII that begins here ends; nil where it is none: overlong
-- forms, surrogates and what lies beyond Unicode are not UTF-8.
local function character_end(text, at)
  local first, second, third, fourth = byte(text, at, at + 3)
  if first < 194 or first > 244 or not is_tail(second) then
    return nil
  elseif first < 224 then
    return at + 1
  elseif not is_tail(third) or first == 224 and second < 160 or first == 237 and second > 159 then
    return nil
  elseif first < 240 then
    return at + 2
  elseif not is_tail(fourth) or first == 240 and second < 144 or first == 244 and second > 143 then
    return nil
  end
  return at + 3
end

local function check_utf8(text)
  local at = find(text, "[\128-\255]")
  while at do
    local last = character_end(text, at)
    if not last then
      fail("body", "is not UTF-8: broken at byte " .. at)
    end
    at = last + 1
    local following = byte(text, at)
    if not following or following < 128 then
      at = find(text, "[\128-\255]", at)
    end
  end
end

local function check_body(text, operation)
  check_utf8(text)
  local reader = setmetatable({ text = text, at = 1 }, Reader)
  if reader:peek() == nil then
    return
  end
  if reader:peek() ~= OPEN_OBJECT then
    fail("body", "must be a JSON object")
  end
  reader:message(operation.message, "", 1, operation.in_path)
  if reader:peek() ~= nil then
    reader:broken()
  end
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function check_query(query, operation)
  local seen = {}
  for pair in query:gmatch("[^?&]+") do
    local name, written = pair:match("^([^=]*)=?(.*)$")
    name = decoded(name)
    local here = shown(name)
    local field = MESSAGES[operation.message][name]
    if operation.in_path[name] then
      fail(here, "stands in the path already")
    elseif not field or field.kind == "message" or field.kind == "map" then
      fail_unknown(here, name, operation.message)
    elseif seen[name] and not field.list then
      fail(here, "stands twice")
    end
    seen[name] = true
    if field.kind == "boolean" then
      if written ~= "true" and written ~= "false" then
        fail(here, "must be true or false")
      end
    elseif field.kind ~= "number" then
      check_text(field, here, decoded(written))
    end
  end
end

local function check_variables(operation, ...)
  for number, name in ipairs(operation.variables) do
    check_text(MESSAGES[operation.message][name], name, select(number, ...))
  end
end

local function operation_of(verb, path)
  for _, operation in ipairs(OPERATIONS) do
    if operation.verb == verb and path:find(operation.pattern) then
      return operation
    end
  end
  return nil
end

-- Headers that gRPC reads are the edge's to set. One that gRPC cannot parse would even spoil
-- later calls on the connection that all callers share. HTTP allows more letters in a name, and
-- more bytes in a value, than gRPC does, which ends such a call as INTERNAL: a name of that kind
-- means nothing to us and goes; a value becomes one that is refused where it is read (it has a
-- space, so it is no API key and no idempotency key).
local function clean_headers(headers)
  local unwanted, unreadable = {}, {}
  for name, value in pairs(headers) do
    if byte(name) ~= COLON then
      local reserved = name:sub(1, 5) == "grpc-" and name ~= "grpc-timeout"
      if reserved or name:sub(-4) == "-bin" or name:find("[^%w.-]") then
        unwanted[#unwanted + 1] = name
      elseif value:find("[^ -~]") then
        unreadable[#unreadable + 1] = name
      end
    end
  end
  for _, name in ipairs(unwanted) do
    headers:remove(name)
  end
  for _, name in ipairs(unreadable) do
    headers:replace(name, "not ASCII")
  end
end

local function check(handle)
  local headers = handle:headers()
  local deadline = headers:get("grpc-timeout")
  if deadline and not (#deadline <= 9 and deadline:find("^%d+[HMSmun]$")) then
    fail("grpc-timeout", "must be 1 to 8 digits and a unit: H, M, S, m, u or n")
  end
  if (headers:get("content-type") or ""):sub(1, 16) == "application/grpc" then
    return
  end
  clean_headers(headers)
  local path, query = headers:get(":path"):match("^([^?]*)(.*)$")
  if path:find("./$") and not path:find("^/v1/webhooks/") then
    -- Most likely an id that was left out; the transcoder would list them all.
    return 404
  end
  local operation = operation_of(headers:get(":method"), path)
  if not operation then
    return
  end
  if #operation.variables > 0 then
    check_variables(operation, path:match(operation.pattern))
  end
  if not operation.has_body then
    return check_query(query, operation)
  end
  if query ~= "" then
    fail("query", "is not read here: fields stand in the body")
  end
  local body = handle:body()
  if body then
    check_body(body:getBytes(0, body:length()), operation)
  end
end

function envoy_on_request(handle)
  local fine, problem = pcall(check, handle)
  if fine then
    if problem then
      handle:respond({ [":status"] = tostring(problem) }, "")
    end
    return
  end
  if type(problem) ~= "table" then
    -- A defect of this script. The transcoder still checks types; say so and go on.
    handle:logErr("strict_json: " .. tostring(problem))
    return
  end
  local facts = handle:streamInfo():dynamicMetadata()
  facts:set("turnout.edge", "field", problem.field)
  facts:set("turnout.edge", "description", problem.description)
  handle:respond({ [":status"] = "400" }, "")
end
