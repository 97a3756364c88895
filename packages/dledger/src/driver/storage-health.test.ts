/** Whole members over one network in memory, each on a disk that can hang: who leads, what waits, what is said. */
import { silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_SETTINGS, type NodeSettings } from '../config.ts'
import type { DLedgerError } from '../errors.ts'
import { HardStateFile } from '../hard-state/hard-state-file.ts'
import type { Proposal, StateMachine } from '../state-machine.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'
import { bareEnvelope } from './batch-builder.ts'
import { LogNode } from './node.ts'
import { HangingDisk } from './testing/hanging-disk.ts'

const IDS = ['n0', 'n1', 'n2']
const small: NodeSettings = {
  ...DEFAULT_SETTINGS,
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 200,
  storageSlowMs: 600,
  storageHangMs: 60_000,
  preferredStableMs: 100,
  transferRetryMs: 300,
}

interface Running {
  readonly node: LogNode
  readonly disk: HangingDisk
  readonly fatal: Error[]
}

let network: MemoryNetwork
let group: Map<string, Running>
beforeEach(() => {
  network = new MemoryNetwork(systemClock)
  group = new Map()
})
afterEach(async () => {
  for (const { disk } of group.values()) {
    disk.release()
    disk.full = false
  }
  await Promise.all([...group.values()].map(({ node }) => close(node)))
})

const close = (node: LogNode): Promise<Error | null> => new Promise((resolve) => node.close(resolve))

async function start(
  id: string,
  ids: readonly string[],
  over: Partial<NodeSettings> = {},
  stateMachine: StateMachine | null = null,
): Promise<Running> {
  const disk = group.get(id)?.disk ?? new HangingDisk()
  const fatal: Error[] = []
  const node = new LogNode({
    clock: systemClock,
    random: systemRandom,
    disk,
    transport: new MemoryTransport({ self: id, network, clock: systemClock, peers: ids }),
    logger: silentLogger,
    directory: `/${id}`,
    group: 'g',
    self: id,
    bootstrapVoters: ids,
    settings: { ...small, ...over },
    stateMachine,
    controlEnvelope: bareEnvelope,
    advertised: '',
    owner: { pid: 1, processStart: '1', bootId: 'boot 1', isAlive: () => true },
    newStoreId: () => `store of ${id}`,
    onFatal: (error) => void fatal.push(error),
  })
  await new Promise<void>((resolve, reject) => node.start((error) => (error === null ? resolve() : reject(error))))
  const running = { node, disk, fatal }
  group.set(id, running)
  return running
}

async function startAll(over: Partial<NodeSettings> = {}): Promise<Running> {
  for (const id of IDS) await start(id, IDS, over)
  return leader()
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function leader(): Promise<Running> {
  const find = (): Running | undefined => [...group.values()].find(({ node }) => node.role.ready)
  await until('a leader', () => find() !== undefined)
  const found = find() as Running
  await until('all follow it', () =>
    [...group.values()].every(({ node }) => node.commitIndex === found.node.status.lastIndex),
  )
  return found
}

function propose(node: LogNode, outcomes: string[], name: string): void {
  const proposal: Proposal = {
    bodyBytes: 4,
    encodeBody: (target, at) => void target.write(name.padEnd(4), at),
    committed: () => void outcomes.push(`${name} committed`),
    failed: (error: DLedgerError) =>
      void outcomes.push(
        `${name} ${error.code}${error.detail.code === 'NOT_LEADER' ? ` ${error.detail.leader ?? 'none'}` : ''}`,
      ),
  }
  node.propose(proposal)
}

const transfer = (node: LogNode, target: string | null): Promise<DLedgerError | null> =>
  new Promise((resolve) => node.transferLeadership(target, resolve))
const idOf = (running: Running): string => running.node.status.self

describe('a transfer of the leadership', () => {
  test('is over when the other leads; proposals wait meanwhile and are refused naming it', async () => {
    const old = await startAll()
    const target = IDS.find((id) => id !== idOf(old)) as string
    const done = transfer(old.node, target)
    const outcomes: string[] = []
    for (let i = 0; i < 3; i++) propose(old.node, outcomes, `p${i}`)
    expect(await done).toBeNull()
    expect(group.get(target)?.node.role.role).toBe('LEADER')
    await until('they are told', () => outcomes.length === 3)
    expect(outcomes).toEqual([0, 1, 2].map((i) => `p${i} NOT_LEADER ${target}`))
  })

  test('that nobody takes ends with TIMEOUT, and what waited is proposed here after all', async () => {
    const old = await startAll()
    const target = IDS.find((id) => id !== idOf(old)) as string
    network.cut(idOf(old), target)
    const done = transfer(old.node, target)
    const outcomes: string[] = []
    propose(old.node, outcomes, 'a')
    expect(await done).toMatchObject({ code: 'TIMEOUT' })
    await until('it is committed', () => outcomes.length === 1)
    expect(outcomes).toEqual(['a committed'])
    expect(old.node.role.role).toBe('LEADER')
  })

  test('is refused by who does not lead, and to who is no other voter', async () => {
    const old = await startAll()
    const follower = [...group.values()].find((one) => one !== old) as Running
    expect(await transfer(follower.node, null)).toMatchObject({ code: 'NOT_LEADER', detail: { leader: idOf(old) } })
    expect(await transfer(old.node, 'n9')).toMatchObject({ code: 'INVALID' })
    expect(await transfer(old.node, idOf(old))).toMatchObject({ code: 'INVALID' })
  })
})

test('the preferred leader leads, when its storage is well', async () => {
  await startAll({ preferredLeader: 'n2' })
  await until('n2 leads', () => group.get('n2')?.node.role.ready === true)
})

test('a leader that has much to apply hands over to one that has not', async () => {
  const bodyBytes = 60 * 1024
  const old = await startAll()
  let committed = 0
  for (let i = 0; i < 150; i++) {
    await until('there is room', () => committed > i - 100)
    old.node.propose({
      bodyBytes,
      encodeBody: (target, at) => void target.fill(i, at, at + bodyBytes),
      committed: () => void committed++,
      failed: (error) => expect.unreachable(error.message),
    })
  }
  await until('all are committed', () => committed === 150)
  await leader()
  const [behind, other] = IDS.filter((id) => id !== idOf(old)) as [string, string]
  for (const id of [behind, other]) await close((group.get(id) as Running).node)
  for (const id of [behind, other]) network.cut(id, idOf(old))
  // It applies what one read brings, and no more.
  const { disk } = group.get(behind) as Running
  const holding: StateMachine = {
    appliedIndex: -1,
    discard: () => {},
    apply: (entries) => void (disk.holdsReads ||= entries[0]?.index === 0),
    roleChanged: () => {},
    durable: () => {},
  }
  const slow = await start(behind, IDS, { unappliedBytesMax: 1024, electionTimeoutMs: 1_000 }, holding)
  const well = await start(other, IDS, { electionTimeoutMs: 4_000 })
  await until('it leads', () => slow.node.role.role === 'LEADER')
  await until('the other leads', () => well.node.role.ready)
  expect(disk.heldCount).toBeGreaterThan(0)
  expect(slow.node.status.storage).toBe('ok')
})

describe('a disk that hangs', () => {
  test('makes a leader hand over; it follows the next one, and is well again when the disk is', async () => {
    const old = await startAll()
    old.disk.hangs = true
    propose(old.node, [], 'a')
    await until('another leads', () => [...group.values()].some((one) => one !== old && one.node.role.ready))
    expect(old.node.status.storage).toBe('slow')
    expect(old.fatal).toEqual([])
    old.disk.release()
    await until('it is well', () => old.node.status.storage === 'ok')
    const next = await leader()
    expect(next).not.toBe(old)
  })

  test('makes a leader step down, where nobody else could lead', async () => {
    const old = await startAll()
    for (const one of group.values()) one.disk.hangs = true
    propose(old.node, [], 'a')
    await until('nobody leads', () => [...group.values()].every(({ node }) => node.role.role !== 'LEADER'))
    for (const one of group.values()) one.disk.release()
    await leader()
  })

  test('is a failed one after storageHangMs: the member stops and names what hangs', async () => {
    const { node, disk, fatal } = await start('n0', ['n0'], { storageHangMs: 300 })
    await leader()
    const outcomes: string[] = []
    disk.hangs = true
    propose(node, outcomes, 'a')
    await until('it stops', () => fatal.length > 0)
    expect(fatal[0]).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(fatal[0]?.message).toMatch(/^write of \/n0\/(data|index)\/0{20} has not ended after \d+ ms$/)
    expect(node.status.storage).toBe('failed')
    expect(outcomes).toEqual(['a TIMEOUT'])
  })

  describe('in reads alone', () => {
    const COLD = { hotBytesMax: 0, leaseReads: true }

    /** Asks for an entry that only the files have. */
    async function readCold({ node, disk }: Running): Promise<void> {
      const outcomes: string[] = []
      for (let i = 0; i < 5; i++) propose(node, outcomes, 'p')
      await until('they are committed', () => outcomes.length === 5)
      disk.holdsReads = true
      node.read(1, 1, 1, () => {})
      await until('it is read', () => disk.heldCount > 0)
    }

    test('makes a leader hand over, and no lease holds meanwhile', async () => {
      const old = await startAll(COLD)
      await until('it has a lease', () => old.node.leaseRemainingMs > 0)
      await readCold(old)
      await until('it is slow', () => old.node.status.storage === 'slow')
      await until('another leads', () => {
        expect(old.node.leaseRemainingMs).toBe(0)
        return [...group.values()].some((one) => one !== old && one.node.role.ready)
      })
      expect(old.fatal).toEqual([])
      old.disk.release()
      await until('it is well', () => old.node.status.storage === 'ok')
      expect(await leader()).not.toBe(old)
    })

    test('is a failed one after storageHangMs, and does not keep the directory locked', async () => {
      const running = await start('n0', ['n0'], { ...COLD, storageHangMs: 300 })
      await leader()
      await readCold(running)
      await until('it stops', () => running.fatal.length > 0)
      expect(running.fatal[0]).toMatchObject({ code: 'STORAGE_FAILED', detail: { operation: 'read' } })
      expect(running.fatal[0]?.message).toMatch(/^read of \/n0\/index\/0{20} has not ended after \d+ ms$/)
      await close(running.node)
      expect(running.disk.listSync('/n0')).not.toContain('lock')
    })
  })

  test('does not keep a member from closing; the directory stays locked until nothing can arrive there any more', async () => {
    const { node, disk } = await start('n0', ['n0'], { storageHangMs: 300 })
    await leader()
    disk.hangs = true
    const outcomes: string[] = []
    propose(node, outcomes, 'a')
    await until('it is written', () => disk.heldCount > 0)
    expect(await close(node)).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(outcomes).toEqual(['a TIMEOUT'])
    expect(disk.listSync('/n0')).toContain('lock')
    disk.release()
    await until('the lock is gone', () => !disk.listSync('/n0').includes('lock'))
    const again = await start('n0', ['n0'])
    await leader()
    expect(again.node.status.lastIndex).toBeGreaterThan(0)
  })
})

test('a write that fails is told with its file and the code of the system', async () => {
  const { node, disk, fatal } = await start('n0', ['n0'])
  await leader()
  disk.nextError = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' })
  propose(node, [], 'a')
  await until('it stops', () => fatal.length > 0)
  const file = '/n0/data/00000000000000000000'
  expect(fatal[0]).toMatchObject({ code: 'STORAGE_FAILED', detail: { operation: 'write', file, errno: 'EIO' } })
  expect(fatal[0]?.message).toBe(`write of ${file} failed: EIO: i/o error, write`)
})

describe('a full disk', () => {
  const filled = { zeroFillBytes: 4096, diskFreeBytesMin: 1000 }

  /** Proposes one after another until one is answered so. */
  async function answered(node: LogNode, wanted: string): Promise<string[]> {
    const outcomes: string[] = []
    for (let i = 0; !(outcomes.at(-1) ?? '').endsWith(wanted); i++) {
      propose(node, outcomes, 'p')
      await until('it is answered', () => outcomes.length === i + 1)
      if (outcomes.at(-1) === 'p DISK_FULL') await new Promise((resolve) => setTimeout(resolve, 5))
      if (i > 50_000) throw new Error(`never ${wanted}: ${outcomes.slice(-3).join(', ')}`)
    }
    return outcomes
  }

  test('refuses data with DISK_FULL, serves what is there, and takes data again when there is room, without a restart', async () => {
    const { node, disk, fatal } = await start('n0', ['n0'], filled)
    await leader()
    await answered(node, 'committed')
    disk.full = true
    const outcomes = await answered(node, 'DISK_FULL')
    expect(new Set(outcomes)).toEqual(new Set(['p committed', 'p DISK_FULL']))
    expect(node.status.storage).toBe('full')
    const read = await new Promise((resolve) => node.read(1, 1, 1, (error, batch) => resolve(error ?? batch?.count)))
    expect(read).toBeGreaterThan(0)
    disk.full = false
    await until('there is room', () => node.status.storage === 'ok')
    await answered(node, 'committed')
    expect(fatal).toEqual([])
  })

  test('that has no room for another file is a full one, and no failed one', async () => {
    const { node, disk, fatal } = await start('n0', ['n0'], { ...filled, fileBytes: 4096 })
    await leader()
    await answered(node, 'committed')
    disk.fullOfNames = true
    const files = disk.listSync('/n0/data').length
    const outcomes = await answered(node, 'DISK_FULL')
    // The one that met the end of its file: it waits for the next one, and nobody waits for ever.
    expect(outcomes.filter((outcome) => !['p committed', 'p DISK_FULL'].includes(outcome))).toEqual(['p TIMEOUT'])
    expect(disk.listSync('/n0/data')).toHaveLength(files)
    expect(node.status.storage).toBe('full')
    disk.fullOfNames = false
    await until('there is room', () => node.status.storage === 'ok')
    await answered(node, 'committed')
    expect(disk.listSync('/n0/data').length).toBeGreaterThan(files)
    expect(fatal).toEqual([])
  })

  test('refuses data from a share of it in use on, serves what is there, and takes data again below that', async () => {
    const { node, disk } = await start('n0', ['n0'], { ...filled, diskUsedPercentMax: 90 })
    await leader()
    disk.usedPercent = 90
    await answered(node, 'committed')
    disk.usedPercent = 91
    await answered(node, 'DISK_FULL')
    const read = await new Promise((resolve) => node.read(1, 1, 1, (error, batch) => resolve(error ?? batch?.count)))
    expect(read).toBeGreaterThan(0)
    disk.usedPercent = 89
    await until('there is room', () => node.status.storage === 'ok')
    await answered(node, 'committed')
  })

  test('is noticed before it is full, by what is free on its file system', async () => {
    const { node, disk } = await start('n0', ['n0'], filled)
    await leader()
    disk.freeBytes = 999
    await answered(node, 'DISK_FULL')
    disk.freeBytes = 2000
    await answered(node, 'committed')
  })

  test('makes a leader hand over; the group goes on, and who was full catches up when there is room', async () => {
    const old = await startAll(filled)
    old.disk.full = true
    const outcomes: string[] = []
    for (let i = 0; i < 200 && old.node.role.role === 'LEADER'; i++) {
      propose(old.node, outcomes, 'p')
      await until('it is answered', () => outcomes.length === i + 1)
    }
    await until('another leads', () => [...group.values()].some((one) => one !== old && one.node.role.ready))
    const next = [...group.values()].find(({ node }) => node.role.ready) as Running
    expect(next).not.toBe(old)
    for (let i = 0; i < 200; i++) await answered(next.node, 'committed')
    expect(old.node.status.lastIndex).toBeLessThan(next.node.status.lastIndex)
    expect(old.node.status.storage).toBe('full')
    old.disk.full = false
    await until('it has caught up', () => old.node.status.appliedIndex === next.node.status.lastIndex)
    expect(old.fatal).toEqual([])
  })

  describe('that takes no hard state', () => {
    const idOfOther = (one: Running): string => idOf([...group.values()].find((other) => other !== one) as Running)

    test('keeps a member from voting and from nothing else: it stays, says so, and votes when there is room', async () => {
      const old = await startAll()
      const full = group.get(idOfOther(old)) as Running
      const third = [...group.values()].find((one) => one !== old && one !== full) as Running
      full.disk.fullForHardState = true
      await close(old.node)
      group.delete(idOf(old))
      // Each of the two needs the other's vote.
      await until('it is asked for its vote', () => full.node.status.storage === 'full')
      for (let i = 0; i < 3; i++) {
        await new Promise((resolve) => setTimeout(resolve, 2 * small.electionTimeoutMs))
        expect([full.node.role.role, third.node.role.role]).not.toContain('LEADER')
      }
      const { term } = full.node.status
      const stored = HardStateFile.openSync(full.disk, `/${idOf(full)}/hard-state`)
      expect(stored?.state.term).toBeLessThan(term)
      const read = new Promise((resolve) => full.node.read(1, 1, 1, (error, batch) => resolve(error ?? batch?.count)))
      expect(await read).toBeGreaterThan(0)
      full.disk.fullForHardState = false
      await until('they elect', () => [full, third].some(({ node }) => node.role.ready))
      expect(full.fatal).toEqual([])
      expect(full.node.status.storage).toBe('ok')
    })

    test('does not hold up the stop of a member that is to cut its log first', async () => {
      const old = await startAll()
      const path = `/${idOf(old)}/hard-state`
      const stored = () => HardStateFile.openSync(old.disk, path)?.state
      network.isolate(idOf(old))
      const { lastIndex } = old.node.status
      const outcomes: string[] = []
      let proposedMs = 0
      await until('its hint covers what nobody else has', () => {
        // A hint is written now and then, with a sync.
        if (performance.now() - proposedMs > 3 * small.tickMs) {
          proposedMs = performance.now()
          propose(old.node, outcomes, 'a')
        }
        return (stored()?.durableHint?.index ?? -1) > lastIndex
      })
      const others = [...group.values()].filter((one) => one !== old)
      await until('another leads', () => others.some(({ node }) => node.role.ready))
      // What was proposed last is in the log by now.
      const { lastIndex: uncut } = old.node.status
      const next = others.find(({ node }) => node.role.ready) as Running
      await answered(next.node, 'committed')
      old.disk.fullAfterHardState = true
      network.healAll()
      await until('it has no room for a hint before the cut', () => old.node.status.storage === 'full')
      expect(stored()?.term).toBe(next.node.status.term)
      expect(old.node.status.lastIndex).toBe(uncut)
      expect(await close(old.node)).toMatchObject({ detail: { errno: 'ENOSPC' } })
      group.delete(idOf(old))
      expect(old.fatal).toEqual([])
    })

    test('does not hold up a stop, which is no clean one, nor the next start', async () => {
      const { node, disk, fatal } = await start('n0', ['n0'])
      await leader()
      disk.fullForHardState = true
      const outcomes: string[] = []
      for (let i = 0; node.status.storage !== 'full' || outcomes.length < i;) {
        if (outcomes.length === i && node.status.storage !== 'full' && i++ < 1_000) propose(node, outcomes, 'p')
        await new Promise((resolve) => setImmediate(resolve))
      }
      const acknowledged = outcomes.filter((outcome) => outcome === 'p committed').length
      expect(acknowledged).toBeGreaterThan(0)
      expect(await close(node)).toMatchObject({ code: 'STORAGE_FAILED', detail: { errno: 'ENOSPC' } })
      expect(fatal).toEqual([])
      expect(HardStateFile.openSync(disk, '/n0/hard-state')?.state.cleanStop).toBe(false)
      disk.fullForHardState = false
      const again = await start('n0', ['n0'])
      await leader()
      expect(again.node.status.lastIndex).toBeGreaterThan(acknowledged)
    })
  })

  test('does not hold up a stop: what waits for room is given up, what was acknowledged is there at the next start', async () => {
    const { node, disk, fatal } = await start('n0', ['n0'])
    await leader()
    await answered(node, 'committed')
    const { lastIndex } = node.status
    disk.full = true
    const outcomes: string[] = []
    propose(node, outcomes, 'a')
    await until('it waits for room', () => node.status.storage === 'full')
    expect(await close(node)).toBeNull()
    expect(outcomes).toEqual(['a TIMEOUT'])
    expect(fatal).toEqual([])
    const again = await start('n0', ['n0'])
    expect(again.node.status.lastIndex).toBeGreaterThanOrEqual(lastIndex)
    disk.full = false
    await leader()
    await answered(again.node, 'committed')
  })

  test('does not hold up a stop while the files of another member are received', async () => {
    await startAll()
    const behind = [...group.values()].find(({ node }) => node.role.role !== 'LEADER') as Running
    await close(behind.node)
    const { node } = [...group.values()].find((one) => one !== behind && one.node.role.ready) as Running
    const outcomes: string[] = []
    while (node.status.lastIndex < 3_000) {
      for (let i = 0; i < 500; i++) propose(node, outcomes, 'p')
      const count = outcomes.length + 500
      await until('they are committed', () => outcomes.length >= count)
    }
    node.trimBefore(node.commitIndex)
    await until('the head is gone', () => node.status.firstIndex > 0)
    behind.disk.full = true
    const again = await start(idOf(behind), IDS)
    await until('it is given files and has no room', () =>
      [...behind.disk.refused].some((path) => path.includes('/incoming/data/')),
    )
    expect(await close(again.node)).toBeNull()
    expect(again.fatal).toEqual([])
    behind.disk.full = false
    const last = await start(idOf(behind), IDS)
    await until('it has caught up', () => last.node.status.lastIndex === node.status.lastIndex)
    expect(last.node.status.firstIndex).toBe(node.status.firstIndex)
  })
})
