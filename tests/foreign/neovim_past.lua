-- A moment of the past, as Neovim asks for it; prints as neovim.lua does.
local channel = vim.fn.sockconnect('pipe', os.getenv('ZTOP_SOCKET'), {rpc = true})
local moment, pid = tonumber(os.getenv('ZTOP_TIME_NS')), tonumber(os.getenv('ZTOP_PID'))
local columns = {'comm', 'cpu_percent'}

-- json_encode refuses strings that are not UTF-8, and whoever names a process chooses the bytes
local function ascii(value)
  if type(value) == 'string' then return (value:gsub('[\128-\255]', '?')) end
  return type(value) == 'table' and vim.tbl_map(ascii, value) or value
end

local function call(name, ...)
  local ok, answer = pcall(vim.rpcrequest, channel, ...)
  io.write(name, ' ', ok and vim.fn.json_encode(ascii(answer)) or '!' .. tostring(answer), '\n')
end

call('now', 'top', {filter = {pid = pid}, columns = columns})
call('then', 'top', {time_ns = moment, filter = {pid = pid}, columns = columns})
call('asof', 'asof', {time_ns = moment, sections = {'processes'}, previous = true})
call('too_early', 'asof', {time_ns = 1})
