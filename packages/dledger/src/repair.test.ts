/** Three members over TCP on loopback and real files, damaged between restarts and while they run; and a lone one. */
import { openSync, readdirSync, readSync, closeSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DLedger } from './dledger.ts'
import type { DLedgerOptions } from './dledger-options.ts'
import type { CommittedEntry } from './state-machine.ts'
import { IDS, LoopbackGroup, SMALL } from './testing/loopback-group.ts'

const FILE_BYTES = 16 * 1024
const TINY = { ...SMALL, fileBytes: FILE_BYTES, hotBytesMax: 0 }

let group: LoopbackGroup
/** By id: the indexes that its state machine was given, in order. */
const applied = new Map<string, number[]>()

beforeEach(async () => {
  group = await LoopbackGroup.create(TINY)
})
afterEach(() => group.close())

function start(id: string, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
  const seen: number[] = []
  applied.set(id, seen)
  const stateMachine = {
    appliedIndex: -1,
    discard: () => {},
    apply: (entries: readonly CommittedEntry[]) => {
      for (const entry of entries) seen.push(entry.index)
    },
    roleChanged: () => {},
    durable: () => {},
  }
  return group.start(id, { stateMachine, ...options })
}

async function startAll(options: Partial<DLedgerOptions> = {}): Promise<void> {
  await Promise.all(IDS.map((id) => start(id, options)))
}

async function writeMuch(count: number): Promise<void> {
  for (let i = 0; i < count; i += 20) {
    const bodies = Array.from({ length: 20 }, (_, k) => Buffer.alloc(150 + ((i + k) % 9) * 30, 1 + ((i + k) % 250)))
    await group.withLeader((leader) => leader.append(bodies))
  }
  await group.untilLevel()
}

const dataFile = (id: string, number: number): string =>
  join(group.root, id, 'data', String(number * FILE_BYTES).padStart(20, '0'))

function spoil(path: string, at: number, bytes = 40): void {
  const file = openSync(path, 'r+')
  const found = Buffer.alloc(bytes)
  readSync(file, found, 0, bytes, at)
  for (let i = 0; i < bytes; i++) found[i] = (found[i] as number) ^ 0x5a
  writeSync(file, found, 0, bytes, at)
  closeSync(file)
}

/** Everybody has the same log, whole, and has applied all of it once and in order. */
async function expectWhole(): Promise<void> {
  await group.leader()
  await group.until('nobody lacks anything', () =>
    [...group.open.values()].every((member) => member.status().lost.length === 0),
  )
  await group.untilLevel()
  for (const [id, { appliedIndex }] of group.open) {
    expect(applied.get(id)).toEqual(Array.from({ length: appliedIndex + 1 }, (_, i) => i))
  }
  await group.stopAll()
  expect(group.differingFiles()).toEqual([])
}

describe('a member whose files were damaged while it was down', () => {
  beforeEach(async () => {
    await startAll()
    await writeMuch(300)
    await group.stopAll()
  })

  test.each<[string, () => void]>([
    ['an entry in the middle of a file', () => spoil(dataFile('n1', 1), 5_000)],
    ['the beginning of the log', () => spoil(dataFile('n1', 0), 0, 3_000)],
    ['a whole file', () => rmSync(dataFile('n1', 2))],
    ['the first file', () => rmSync(dataFile('n1', 0))],
    ['a file that was cut', () => truncateSync(dataFile('n1', 1), 3_000)],
    ['the index', () => rmSync(join(group.root, 'n1', 'index', '0'.repeat(20)))],
    [
      'the index and entries',
      () => {
        rmSync(join(group.root, 'n1', 'index', '0'.repeat(20)))
        spoil(dataFile('n1', 1), 5_000, 900)
      },
    ],
    [
      'all of its data',
      () => {
        for (const name of readdirSync(join(group.root, 'n1', 'data'))) rmSync(join(group.root, 'n1', 'data', name))
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
    await Promise.all([start('n0'), start('n2')])
    await expectWhole()
  })
})

test('a running leader whose files rot finds it by scrubbing, hands over and is repaired', async () => {
  await startAll({ scrubBytesPerSecond: 1 << 24, scrubIntervalMs: 50 })
  await writeMuch(300)
  const led = await group.leader()
  spoil(dataFile(led.status().self, 1), 5_000, 400)
  await group.until('it has found it', () => led.status().lost.length > 0)
  await group.until('it does not lead any more', () => led.status().role !== 'LEADER')
  await group.until('it is repaired', () => led.status().lost.length === 0)
  await writeMuch(20)
  await expectWhole()
})

describe('a lone member whose log is damaged', () => {
  async function startAlone(stateMachine?: DLedgerOptions['stateMachine']): Promise<DLedger> {
    const alone = await DLedger.open({
      directory: join(group.root, 'alone'),
      ...TINY,
      ...(stateMachine && { stateMachine }),
    })
    group.open.set('alone', alone)
    return alone
  }

  test('serves the rest, refuses what is lost by name, and goes on being written', async () => {
    const alone = await startAlone()
    for (let i = 0; i < 200; i++) await alone.append(Buffer.alloc(200, 1 + i))
    await group.stopAll()
    const path = join(group.root, 'alone', 'data', String(FILE_BYTES).padStart(20, '0'))
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
