// An MCP server with one tool: it notes a text in the file that it was started with.
const fs = require('fs')
const answer = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\n')
require('readline').createInterface({ input: process.stdin }).on('line', line => {
  const { id, method, params } = JSON.parse(line)
  if (method === 'initialize') {
    answer(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' } })
  } else if (method === 'tools/list') {
    answer(id, { tools: [{ name: 'note', description: 'Note a text', inputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] } }] })
  } else if (method === 'tools/call') {
    fs.appendFileSync(process.argv[2], params.arguments.text + '\n')
    answer(id, { content: [{ type: 'text', text: 'noted' }] })
  } else if (id !== undefined) {
    answer(id, {})
  }
})
