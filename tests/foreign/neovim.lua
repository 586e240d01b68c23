-- What a person would type in Neovim; prints one line "name json" for each answer, and "name !sentence" for an error.
local channel = vim.fn.sockconnect('pipe', os.getenv('ZTOP_SOCKET'), {rpc = true})

-- json_encode refuses strings that are not UTF-8, and whoever names a process chooses the bytes
local function ascii(value)
  if type(value) == 'string' then return (value:gsub('[\128-\255]', '?')) end
  return type(value) == 'table' and vim.tbl_map(ascii, value) or value
end

local function call(name, ...)
  local ok, answer = pcall(vim.rpcrequest, channel, ...)
  io.write(name, ' ', ok and vim.fn.json_encode(ascii(answer)) or '!' .. tostring(answer), '\n')
end

call('nothing', 'ping')
call('empty_list', 'ping', {})
call('empty_map', 'ping', vim.empty_dict())
call('nil', 'ping', vim.NIL)
call('hello', 'hello')
call('snapshot', 'snapshot', {sections = {'host', 'processes'}})
call('no_sections', 'snapshot', {sections = {}})
call('top', 'top', {sort = 'rss_bytes', limit = 3, columns = {'rss_bytes', 'cpu_percent', 'state'}})
call('top_of_one', 'top', {filter = {pid = vim.fn.getpid()}, columns = {'comm', 'threads'}})
call('unknown_method', 'stop', {})
call('unknown_column', 'top', {sort = 'cpu'})
call('two_arguments', 'ping', 1, 2)
call('alive', 'ping')

-- such a name is bin on the wire and a string of those bytes here; sent back as a string it is found
local name = 'caf\233-ztop'
local answer = vim.rpcrequest(channel, 'top', {filter = {comm = name}, columns = {'comm'}, limit = 1})
for _, row in ipairs(answer.sections.processes.rows) do
  io.write('bytes ', vim.fn.json_encode({row[3]:byte(1, -1)}), '\n')
end

-- Neovim has no use for our notifications, but survives them
call('subscribe', 'subscribe', {sections = {'host'}})
vim.wait(500)
call('alive_after_notifications', 'ping')
vim.fn.chanclose(channel)
