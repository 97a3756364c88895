// Prints, from a run of the built packages, the bytes that docs/protocol.md shows: `node docs/examples/layouts.mjs`.
// Times, identities, ports and therefore checksums differ from run to run; places and sizes do not.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger, TcpTransport } from '@dledger-ts/dledger'
import { hostAddress } from '@dledger-ts/protocol'
import { defaultTopicConfig, MessageStore } from '@dledger-ts/store'

const root = mkdtempSync(join(tmpdir(), 'layouts-'))
try {
  await store(join(root, 'store'))
  await blank(join(root, 'blank'))
  await wire(root)
} finally {
  rmSync(root, { recursive: true, force: true })
}

function show(title, bytes) {
  console.log(`\n## ${title}, ${bytes.length} bytes`)
  for (let at = 0; at < bytes.length; at += 32) {
    const line = bytes.subarray(at, at + 32)
    const words = line.toString('hex').match(/.{1,8}/g) ?? []
    const text = line.toString('latin1').replace(/[^\x20-\x7e]/g, '.')
    console.log(`${String(at).padStart(4)}  ${words.join(' ').padEnd(71)}  ${text}`)
  }
}

/** The entries of a data file: header and body, until zeros. */
function showEntries(name, file) {
  for (let at = 0; file.readInt32BE(at) === 1;) {
    const size = file.readInt32BE(at + 4)
    const index = file.readBigInt64BE(at + 8)
    show(`${name}: header of entry ${index}, channel ${file.readInt32BE(at + 32)}`, file.subarray(at, at + 48))
    show(`${name}: body of entry ${index}`, file.subarray(at + 48, at + size))
    at += size
  }
}

async function store(dir) {
  const host = hostAddress('127.0.0.1', 10911)
  const options = { dir, group: 'example', fileBytes: 65_536, consumeQueueFileBytes: 2_000, storeHost: host }
  const open = await MessageStore.open(options)
  await open.putTopic(defaultTopicConfig('TopicT', 4))
  const stored = await open.store({
    topic: 'TopicT',
    queueId: 3,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    bornHost: hostAddress('10.0.0.1', 40_000),
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('hello'),
    properties: 'KEYS\x01k1\x02TAGS\x01TagA\x02',
  })
  console.log('stored', JSON.stringify(stored))
  console.log('\n## files of the running store, size')
  list(dir, '')
  await open.close()
  const log = join(dir, 'commitlog', 'dledger-n0')
  showEntries('data', readFileSync(join(log, 'data', '0'.repeat(20))))
  const units = readFileSync(join(log, 'index', '0'.repeat(20)))
  for (let index = 0; index < 4; index++) show(`index unit ${index}`, units.subarray(index * 32, index * 32 + 32))
  show('consume queue entry 0', readFileSync(join(dir, 'consumequeue', 'TopicT', '3', '0'.repeat(20))).subarray(0, 20))
  const hardState = readFileSync(join(log, 'hard-state'))
  for (const slot of [0, 1]) {
    const at = slot * 4096
    show(`hard-state slot ${slot}`, hardState.subarray(at, at + 24 + hardState.readUInt32BE(at + 16)))
  }
}

function list(dir, name) {
  const path = join(dir, name)
  const status = statSync(path)
  if (!status.isDirectory()) return console.log(`${name}  ${status.size}`)
  for (const child of readdirSync(path).sort()) list(dir, join(name, child))
}

async function blank(directory) {
  const log = await DLedger.open({ directory, group: 'example', fileBytes: 1024, indexFileBytes: 1024 })
  await log.append(Buffer.alloc(500, 'a'))
  await log.append(Buffer.alloc(500, 'b'))
  await log.close()
  const first = readFileSync(join(directory, 'data', '0'.repeat(20)))
  let at = 0
  while (first.readInt32BE(at) === 1) at += first.readInt32BE(at + 4)
  show(`blank at byte ${at} of a file of ${first.length}`, first.subarray(at, at + 16))
  show('header of the entry behind it', readFileSync(join(directory, 'data', '00000000000000001024')).subarray(0, 48))
}

/** Two members; what n0 sends to n1, and the answers, go through a relay that keeps them. */
async function wire(root) {
  const [port0, port1] = [await freePort(), await freePort()]
  const streams = []
  const relay = createServer((from) => {
    const stream = { there: [], back: [] }
    streams.push(stream)
    const to = connect(port1, '127.0.0.1')
    from.on('data', (chunk) => (stream.there.push(chunk), to.write(chunk)))
    to.on('data', (chunk) => (stream.back.push(chunk), from.write(chunk)))
    for (const [one, other] of [
      [from, to],
      [to, from],
    ]) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve))
  const member = (self, listenPort, peer) =>
    DLedger.open({
      directory: join(root, self),
      group: 'example',
      self,
      members: ['n0', 'n1'],
      fileBytes: 65_536,
      advertised: self,
      transport: new TcpTransport({
        self,
        listenHost: '127.0.0.1',
        listenPort,
        peers: [{ host: '127.0.0.1', ...peer }],
        clock: systemClock,
        logger: silentLogger,
      }),
    })
  const n0 = await member('n0', port0, { id: 'n1', port: relay.address().port })
  const n1 = await member('n1', port1, { id: 'n0', port: port0 })
  while (!n0.status().ready && !n1.status().ready) await new Promise((resolve) => setTimeout(resolve, 20))
  if (!n0.status().ready) await n1.transferLeadership('n0').catch(() => {})
  while (!n0.status().ready) await new Promise((resolve) => setTimeout(resolve, 20))
  await n0.append(Buffer.from('hello'))
  const types = new Map()
  for (const { there, back } of streams) {
    for (const [direction, chunks] of [
      ['n0 to n1', there],
      ['n1 to n0', back],
    ]) {
      for (const frame of framesOf(Buffer.concat(chunks))) {
        // An array of at most 15 values: its first value is the code, behind the byte for the array.
        const code = frame[13]
        const last = code === 5 && frame.includes('hello')
        if (!types.has(code) || last) types.set(code, { direction, frame })
      }
    }
  }
  for (const code of [...types.keys()].sort((a, b) => a - b)) {
    const { direction, frame } = types.get(code)
    show(`frame of code ${code}, ${direction}`, frame)
  }
  await Promise.all([n0.close(), n1.close()])
  relay.close()
}

function framesOf(bytes) {
  const frames = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at)
    if (end > bytes.length) break
    frames.push(bytes.subarray(at, end))
    at = end
  }
  return frames
}

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
