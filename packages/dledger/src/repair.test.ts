/** Three members over TCP on loopback and real files, damaged between restarts and while they run; and a lone one. */
import { createServer } from 'node:net'
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  closeSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DLedger, type DLedgerOptions } from './dledger.ts'
import type { CommittedEntry } from './state-machine.ts'
import { TcpTransport } from './transport/tcp.ts'

const IDS = ['n0', 'n1', 'n2']
const FILE_BYTES = 16 * 1024
const small = {
  fileBytes: FILE_BYTES,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  hotBytesMax: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 100,
}

let root: string
let ports: number[]
const open = new Map<string, DLedger>()
const applied = new Map<string, number[]>()

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'dledger-repair-'))
  ports = await freePorts(3)
})
afterEach(async () => {
  await closeAll()
  rmSync(root, { recursive: true, force: true })
})

async function closeAll(): Promise<void> {
  await Promise.all([...open.values()].map((member) => member.close()))
  open.clear()
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )
  const found = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return found
}

async function start(id: string, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
  const peers = IDS.map((peer, i) => ({ id: peer, host: '127.0.0.1', port: ports[i] as number }))
  const seen: number[] = []
  applied.set(id, seen)
  const member = await DLedger.open({
    directory: join(root, id),
    self: id,
    members: IDS,
    stateMachine: {
      appliedIndex: -1,
      discard: () => {},
      apply: (entries: readonly CommittedEntry[]) => {
        for (const entry of entries) seen.push(entry.index)
      },
      roleChanged: () => {},
      durable: () => {},
    },
    transport: new TcpTransport({
      self: id,
      listenHost: '127.0.0.1',
      listenPort: ports[IDS.indexOf(id)] as number,
      peers,
      clock: systemClock,
      logger: silentLogger,
    }),
    ...small,
    ...options,
  })
  open.set(id, member)
  return member
}

async function startAll(options: Partial<DLedgerOptions> = {}): Promise<void> {
  await Promise.all(IDS.map((id) => start(id, options)))
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

async function leader(): Promise<DLedger> {
  let found: DLedger | undefined
  await until(() => {
    found = [...open.values()].find((one) => one.status().ready)
    return found !== undefined
  })
  return found as DLedger
}

async function writeMuch(count: number): Promise<void> {
  const one = await leader()
  for (let i = 0; i < count; i += 20) {
    await one.append(Array.from({ length: 20 }, (_, k) => Buffer.alloc(150 + ((i + k) % 9) * 30, 1 + ((i + k) % 250))))
  }
  await until(() =>
    [...open.values()].every((each) => each.appliedIndex === one.lastIndex && each.commitIndex === one.lastIndex),
  )
}

const dataFile = (id: string, number: number): string =>
  join(root, id, 'data', String(number * FILE_BYTES).padStart(20, '0'))

function spoil(path: string, at: number, bytes = 40): void {
  const file = openSync(path, 'r+')
  const found = Buffer.alloc(bytes)
  readSync(file, found, 0, bytes, at)
  for (let i = 0; i < bytes; i++) found[i] = (found[i] as number) ^ 0x5a
  writeSync(file, found, 0, bytes, at)
  closeSync(file)
}

function filesOf(id: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (const kind of ['data', 'index']) {
    for (const name of readdirSync(join(root, id, kind)))
      files.set(`${kind}/${name}`, readFileSync(join(root, id, kind, name)))
  }
  return files
}

/** Everybody has the same log, whole, and has applied all of it once and in order. */
async function expectWhole(): Promise<void> {
  const one = await leader()
  await until(() =>
    [...open.values()].every((each) => each.status().lost.length === 0 && each.appliedIndex === one.lastIndex),
  )
  for (const id of open.keys()) expect(applied.get(id)).toEqual(Array.from({ length: one.lastIndex + 1 }, (_, i) => i))
  await closeAll()
  const [first, ...others] = IDS.map(filesOf)
  for (const other of others) {
    expect([...other.keys()]).toEqual([...(first?.keys() ?? [])])
    for (const [name, bytes] of other) expect(first?.get(name)?.equals(bytes), name).toBe(true)
  }
}

describe('a member whose files were damaged while it was down', () => {
  beforeEach(async () => {
    await startAll()
    await writeMuch(300)
    await closeAll()
  })

  test.each<[string, () => void]>([
    ['an entry in the middle of a file', () => spoil(dataFile('n1', 1), 5_000)],
    ['the beginning of the log', () => spoil(dataFile('n1', 0), 0, 3_000)],
    ['a whole file', () => rmSync(dataFile('n1', 2))],
    ['the first file', () => rmSync(dataFile('n1', 0))],
    ['a file that was cut', () => truncateSync(dataFile('n1', 1), 3_000)],
    ['the index', () => rmSync(join(root, 'n1', 'index', '0'.repeat(20)))],
    [
      'the index and entries',
      () => {
        rmSync(join(root, 'n1', 'index', '0'.repeat(20)))
        spoil(dataFile('n1', 1), 5_000, 900)
      },
    ],
    [
      'all of its data',
      () => {
        for (const name of readdirSync(join(root, 'n1', 'data'))) rmSync(join(root, 'n1', 'data', name))
      },
    ],
  ])('gets it back from its peers: %s', async (_, damage) => {
    damage()
    await startAll()
    await expectWhole()
  })

  test('and the others have lost other parts: all help each other, though none of them may lead before', async () => {
    spoil(dataFile('n0', 0), 2_000, 2_000)
    spoil(dataFile('n1', 1), 2_000, 2_000)
    spoil(dataFile('n2', 2), 2_000, 2_000)
    await startAll()
    await expectWhole()
  })

  test('serves the rest meanwhile, and says what it lacks', async () => {
    spoil(dataFile('n1', 0), 4_000, 10)
    const { lost } = (await start('n1')).status()
    // What a hint covers is not read at the start.
    expect(lost).toEqual([])
    await startAll2()
    await expectWhole()
  })

  async function startAll2(): Promise<void> {
    await Promise.all([start('n0'), start('n2')])
  }
})

test('a running leader whose files rot finds it by scrubbing, hands over and is repaired', async () => {
  await startAll({ scrubBytesPerSecond: 1 << 24, scrubIntervalMs: 50 })
  await writeMuch(300)
  const led = await leader()
  const id = led.status().self
  spoil(dataFile(id, 1), 5_000, 400)
  await until(() => led.status().role !== 'LEADER')
  await until(() => led.status().lost.length === 0 && led.status().scrub.passes > 0)
  expect(led.status().role).not.toBe('LEADER')
  await writeMuch(20)
  await expectWhole()
})

describe('a lone member whose log is damaged', () => {
  async function startAlone(stateMachine?: DLedgerOptions['stateMachine']): Promise<DLedger> {
    const alone = await DLedger.open({
      directory: join(root, 'alone'),
      ...small,
      ...(stateMachine && { stateMachine }),
    })
    open.set('alone', alone)
    return alone
  }

  test('serves the rest, refuses what is lost by name, and goes on being written', async () => {
    const alone = await startAlone()
    for (let i = 0; i < 200; i++) await alone.append(Buffer.alloc(200, 1 + i))
    await closeAll()
    const path = join(root, 'alone', 'data', String(FILE_BYTES).padStart(20, '0'))
    spoil(path, 3_000, 10)
    const again = await startAlone()
    const unreadable: number[] = []
    for (let index = 2; index <= 201; index++) {
      try {
        expect((await again.read(index))?.body[0]).toBe(index - 1)
      } catch (error) {
        expect(error).toMatchObject({ code: 'CORRUPT', detail: { file: path } })
        unreadable.push(index)
      }
    }
    expect(unreadable).toHaveLength(1)
    expect(again.status().lost).toMatchObject([{ firstIndex: unreadable[0], lastIndex: unreadable[0] }])
    const { index } = await again.append(Buffer.from('goes on'))
    expect((await again.read(index))?.body.toString()).toBe('goes on')
  })
})
