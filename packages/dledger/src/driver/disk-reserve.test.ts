/** Room kept for a full disk: when it is taken, when it is given, and that a log which fills its own disk goes on. */
import { silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_SETTINGS, type NodeSettings } from '../config.ts'
import type { Disk } from '../disk/disk.ts'
import type { DLedgerError } from '../errors.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'
import { bareEnvelope } from './batch-builder.ts'
import { DiskReserve, giveReserveForStart } from './disk-reserve.ts'
import { LogNode } from './node.ts'
import { HangingDisk } from './testing/hanging-disk.ts'
import { SmallDisk } from './testing/small-disk.ts'

const MIB = 1024 * 1024
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1))

describe('the reserve', () => {
  const directory = '/n0'
  const path = '/n0/reserve'
  const newPath = '/n0/reserve.new'
  let disk: SmallDisk
  beforeEach(() => {
    disk = new SmallDisk(20 * MIB)
    disk.makeDirectorySync(directory)
  })

  const reserveOf = (over: { readonly disk?: Disk; readonly bytes?: number; readonly freeBytesMin?: number } = {}) => {
    const reserve = new DiskReserve({
      disk,
      directory,
      bytes: 3 * MIB,
      freeBytesMin: MIB,
      logger: silentLogger,
      ...over,
    })
    reserve.opened()
    return reserve
  }
  const wake = async (reserve: DiskReserve, times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) {
      reserve.wake()
      await settled()
    }
  }
  const size = (of = path): number | null =>
    disk.existsSync(of) ? disk.openSync(of, { create: false }).sizeSync() : null

  test('takes its room a piece at a time', async () => {
    const reserve = reserveOf()
    const sizes: unknown[] = []
    for (let i = 0; i < 4; i++) {
      await wake(reserve)
      sizes.push([size(newPath), size()])
    }
    expect(sizes).toEqual([
      [MIB, null],
      [2 * MIB, null],
      [null, 3 * MIB],
      [null, 3 * MIB],
    ])
    expect(disk.freeBytesSync()).toBe(17 * MIB)
  })

  test('is not made of what is to stay free', async () => {
    disk.othersBytes = 16 * MIB
    await wake(reserveOf(), 4)
    expect(size()).toBeNull()
    disk.othersBytes = 15 * MIB
    await wake(reserveOf(), 4)
    expect(size()).toBe(3 * MIB)
  })

  test('is not made where it is not known how much is free, nor without a setting', async () => {
    const unknown = new HangingDisk()
    unknown.makeDirectorySync(directory)
    await wake(reserveOf({ disk: unknown }), 4)
    expect(unknown.existsSync(path)).toBe(false)
    await wake(reserveOf({ bytes: 0 }), 4)
    expect(size()).toBeNull()
  })

  test('gives all its room at once, and takes it again as a whole when there is room to spare', async () => {
    const reserve = reserveOf()
    await wake(reserve, 3)
    disk.othersBytes = 17 * MIB
    expect(disk.freeBytesSync()).toBe(0)
    reserve.give()
    expect([disk.freeBytesSync(), reserve.isOut, reserve.isMissed]).toEqual([3 * MIB, true, true])
    await wake(reserve, 3)
    expect([size(), reserve.isMissed]).toEqual([0, true])
    disk.othersBytes = 14 * MIB
    await wake(reserve)
    expect([size(), reserve.isOut]).toEqual([3 * MIB, false])
  })

  test('that is out is out at the next start too, and gone when it is not wanted any more', async () => {
    await wake(reserveOf(), 3)
    const reserve = reserveOf()
    reserve.give()
    expect([reserve.isOut, reserveOf().isOut]).toEqual([true, true])
    expect(reserveOf({ bytes: 0 }).isOut).toBe(false)
    expect(size()).toBeNull()
  })

  test('of which half was made is made anew', async () => {
    await wake(reserveOf(), 2)
    const reserve = reserveOf()
    expect([size(newPath), size()]).toEqual([null, null])
    await wake(reserve, 3)
    expect(size()).toBe(3 * MIB)
  })

  test('that was begun before a stop, and of which nothing is there, is not out', async () => {
    disk.openSync(newPath, { create: true })
    disk.othersBytes = 17 * MIB
    const reserve = reserveOf()
    expect([reserve.isOut, reserve.isMissed, size(newPath)]).toEqual([false, false, null])
  })

  test('that was being made when its member stopped does no harm to that of the next one', async () => {
    const slow = new HangingDisk()
    slow.makeDirectorySync(directory)
    slow.freeBytes = 20 * MIB
    slow.hangs = true
    const before = reserveOf({ disk: slow })
    before.wake()
    before.stop()
    slow.hangs = false
    const reserve = reserveOf({ disk: slow })
    await wake(reserve, 2)
    slow.release()
    await wake(reserve, 2)
    expect(slow.openSync(path, { create: false }).sizeSync()).toBe(3 * MIB)
  })

  test('whose disk cannot tell what is free is done without', async () => {
    const failing = new (class extends SmallDisk {
      isGone = false
      override freeBytesSync(): number {
        if (this.isGone) throw new Error('EIO: i/o error, statfs')
        return super.freeBytesSync()
      }
    })(20 * MIB)
    failing.makeDirectorySync(directory)
    const reserve = reserveOf({ disk: failing })
    await wake(reserve, 3)
    reserve.give()
    reserve.wake()
    failing.isGone = true
    await wake(reserve, 2)
    expect([reserve.isOut, reserve.isMissed]).toEqual([false, false])
  })

  test('gives back what was made when the room for the rest is taken meanwhile', async () => {
    const reserve = reserveOf({ freeBytesMin: 0 })
    await wake(reserve)
    // Between the look and the write.
    disk.othersBytes = 19 * MIB
    disk.toldFreeBytes = 10 * MIB
    await wake(reserve)
    expect([size(newPath), size(), reserve.isOut]).toEqual([null, null, false])
  })

  test('is taken again as a whole or not at all', async () => {
    const reserve = reserveOf({ freeBytesMin: 0 })
    await wake(reserve, 3)
    reserve.give()
    reserve.wake()
    disk.othersBytes = 19 * MIB
    await wake(reserve, 2)
    expect([size(), reserve.isMissed]).toEqual([0, true])
  })

  test('that is out lets a follower take entries as long as half of it is left', async () => {
    const reserve = reserveOf()
    await wake(reserve, 3)
    expect(reserve.hasRoomFor(100 * MIB)).toBe(true)
    disk.othersBytes = 17 * MIB
    reserve.give()
    expect(reserve.hasRoomFor(1.5 * MIB)).toBe(true)
    expect(reserve.hasRoomFor(1.5 * MIB + 1)).toBe(false)
  })

  test('is given for a start where hardly anything is free', async () => {
    await wake(reserveOf(), 3)
    giveReserveForStart(disk, directory)
    expect(size()).toBe(3 * MIB)
    disk.othersBytes = 17 * MIB
    giveReserveForStart(disk, directory)
    expect(disk.freeBytesSync()).toBe(3 * MIB)
    expect(reserveOf().isOut).toBe(true)
  })

  test('that was given and cannot be written again is done without: data is taken', async () => {
    const failing = new HangingDisk()
    failing.makeDirectorySync(directory)
    failing.freeBytes = 20 * MIB
    const reserve = reserveOf({ disk: failing, freeBytesMin: 0 })
    await wake(reserve, 3)
    reserve.give()
    expect(reserve.isOut).toBe(true)
    failing.nextError = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' })
    await wake(reserve, 3)
    expect([reserve.isOut, reserve.isMissed]).toEqual([false, false])
  })

  test('that cannot be written is told and done without', async () => {
    const warned: string[] = []
    const logger = { ...silentLogger, warn: (_: object, line: string) => void warned.push(line) }
    const failing = new HangingDisk()
    failing.makeDirectorySync(directory)
    failing.freeBytes = 20 * MIB
    const reserve = new DiskReserve({ disk: failing, directory, bytes: 3 * MIB, freeBytesMin: 0, logger })
    failing.nextError = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' })
    await wake(reserve, 3)
    expect(warned).toEqual(['/n0/reserve could not be made: no reserve is made until the next start'])
    expect(failing.existsSync(path)).toBe(false)
  })
})

describe('a log that fills its own disk to the last byte', () => {
  const settings: NodeSettings = {
    ...DEFAULT_SETTINGS,
    fileBytes: 32 * 1024,
    indexFileBytes: 8 * 1024,
    zeroFillBytes: 4 * 1024,
    tickMs: 5,
    heartbeatMs: 5,
    electionTimeoutMs: 50,
    proposalTimeoutMs: 300,
    diskFreeBytesMin: 0,
    uncommittedBytesMax: 16 * 1024,
  }
  let nodes: LogNode[] = []
  const fatal: Error[] = []
  afterEach(async () => {
    for (const node of nodes) await new Promise((resolve) => node.close(resolve))
    nodes = []
  })

  async function until(what: string, condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`never: ${what}`)
      await settled()
    }
  }

  async function start(disk: SmallDisk, over: Partial<NodeSettings>): Promise<LogNode> {
    const node = new LogNode({
      clock: systemClock,
      random: systemRandom,
      disk,
      transport: new MemoryTransport({
        self: 'n0',
        network: new MemoryNetwork(systemClock),
        clock: systemClock,
        peers: ['n0'],
      }),
      logger: silentLogger,
      directory: '/n0',
      group: 'g',
      self: 'n0',
      bootstrapVoters: ['n0'],
      settings: { ...settings, ...over },
      stateMachine: null,
      controlEnvelope: bareEnvelope,
      advertised: '',
      owner: { pid: 1, processStart: '1', bootId: 'boot 1', isAlive: () => true },
      newStoreId: () => 'store of n0',
      onFatal: (error) => void fatal.push(error),
    })
    await new Promise<void>((resolve, reject) => node.start((error) => (error === null ? resolve() : reject(error))))
    nodes.push(node)
    await until('it leads', () => node.role.ready)
    return node
  }

  function propose(node: LogNode, bodyBytes: number): Promise<string> {
    return new Promise((resolve) =>
      node.propose({
        bodyBytes,
        encodeBody: (target, at) => void target.fill(1, at, at + bodyBytes),
        committed: () => resolve('committed'),
        failed: (error: DLedgerError) => resolve(error.code),
      }),
    )
  }

  /** Proposes until nothing is taken any more. @returns the answers. */
  async function fill(node: LogNode, bodyBytes: number): Promise<Set<string>> {
    const seen = new Set<string>()
    // The core learns at the next heartbeat what the disk says.
    for (let refusals = 0; refusals < 20;) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => propose(node, bodyBytes)))
      for (const answer of answers) seen.add(answer)
      refusals = answers.every((answer) => answer === 'DISK_FULL') ? refusals + 1 : 0
      if (refusals > 0) await settled()
    }
    return seen
  }

  test('is trimmed all the same, and goes on without a restart', { timeout: 60_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({ kibibytes: fc.integer({ min: 300, max: 500 }), bodyBytes: fc.integer({ min: 1, max: 2_000 }) }),
        async ({ kibibytes, bodyBytes }) => {
          const disk = new SmallDisk(kibibytes * 1024)
          const node = await start(disk, { diskReserveBytes: 64 * 1024 })
          await until('the reserve is made', () => disk.existsSync('/n0/reserve'))
          for (let round = 0; round < 3; round++) {
            const { commitIndex } = node
            const answers = await fill(node, bodyBytes)
            expect(answers).toContain('committed')
            expect(answers).not.toContain('TIMEOUT')
            expect(node.commitIndex).toBeGreaterThan(commitIndex)
            const { firstIndex } = node
            node.trimBefore(node.commitIndex)
            await until('the head is gone', () => node.firstIndex > firstIndex)
            await until('there is room', () => node.status.storage === 'ok')
          }
          expect(fatal).toEqual([])
          await new Promise((resolve) => nodes.pop()?.close(resolve))
        },
      ),
      { numRuns: 5 },
    ),
  )

  test.each([
    ['of large entries', 1_000],
    ['of small ones, whose places take nearly as much', 1],
  ])(
    'does not get that far by itself where some is to stay free, before the first heartbeat: %s',
    async (_, bodyBytes) => {
      const disk = new SmallDisk(400 * 1024)
      const heartbeatMs = 60_000
      const electionTimeoutMs = 10 * heartbeatMs
      const node = await start(disk, {
        diskFreeBytesMin: 64 * 1024,
        diskReserveBytes: 0,
        heartbeatMs,
        electionTimeoutMs,
      })
      const answers = await fill(node, bodyBytes)
      expect([...answers].sort()).toEqual(['DISK_FULL', 'committed'])
      // What one pass takes at most, and what is claimed ahead, may be of it.
      expect(disk.freeBytesSync()).toBeGreaterThan(64 * 1024 - 16 * 1024 - 8 * 1024)
    },
  )

  test('opens again on the disk that others have filled meanwhile', async () => {
    const disk = new SmallDisk(400 * 1024)
    const node = await start(disk, { diskReserveBytes: 64 * 1024 })
    await until('the reserve is made', () => disk.existsSync('/n0/reserve'))
    expect(await propose(node, 100)).toBe('committed')
    await new Promise((resolve) => nodes.pop()?.close(resolve))
    disk.othersBytes += disk.freeBytesSync()
    const again = await start(disk, { diskReserveBytes: 64 * 1024 })
    await until('it says so', () => again.status.storage === 'full')
    expect(await propose(again, 100)).toBe('DISK_FULL')
    disk.othersBytes = 0
    await until('there is room', () => again.status.storage === 'ok')
    expect(await propose(again, 100)).toBe('committed')
  })
})
