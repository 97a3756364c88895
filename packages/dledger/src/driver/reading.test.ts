/** Reads that must not be stale, on whole members over a network in memory; and the bounds that leases and freshness rest on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import { DLedger } from '../dledger.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'
import { Freshness } from './freshness.ts'
import { Lease, leaseDurationMs } from './lease.ts'
import { elapsedMs, RoundTimes } from './moments.ts'

const IDS = ['n0', 'n1', 'n2']
const small = {
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 500,
  proposalTimeoutMs: 1_000,
}

class HandClock implements Clock {
  mono = 0
  wall = 1_000_000
  nowMs(): number {
    return this.wall
  }
  monotonicMs(): number {
    return this.mono
  }
  after(): () => void {
    return () => {}
  }
  defer(): void {}
  pass(ms: number): void {
    this.mono += ms
    this.wall += ms
  }
}

describe('reads of a group', () => {
  let root: string
  let network: MemoryNetwork
  const members = new Map<string, DLedger>()

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'dledger-reads-'))
    network = new MemoryNetwork(systemClock)
  })
  afterEach(async () => {
    network.healAll()
    await Promise.all([...members.values()].map((member) => member.close()))
    members.clear()
    rmSync(root, { recursive: true, force: true })
  })

  async function group(leaseReads = false): Promise<{ leader: DLedger; follower: DLedger; leaderId: string }> {
    for (const self of IDS) {
      const transport = new MemoryTransport({ self, network, clock: systemClock, peers: IDS })
      const directory = join(root, self)
      members.set(self, await DLedger.open({ directory, self, members: IDS, transport, leaseReads, ...small }))
    }
    const ready = () => [...members].find(([, member]) => member.status().ready)
    const follows = () => [...members.values()].every((member) => member.status().leader === ready()?.[0])
    await until(() => ready() !== undefined && follows())
    const [leaderId, leader] = ready() as [string, DLedger]
    const follower = [...members.values()].find((member) => member !== leader) as DLedger
    return { leader, follower, leaderId }
  }

  async function until(condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000
    while (!condition()) {
      if (Date.now() > deadline) throw new Error('never')
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  test('a linearizable read on any member sees what was acknowledged before', async () => {
    const { leader } = await group()
    for (let i = 0; i < 20; i++) {
      const { index } = await leader.append(Buffer.from(`${i}`))
      for (const member of members.values()) {
        expect(await member.readIndex()).toBeGreaterThanOrEqual(index)
        expect(member.appliedIndex).toBeGreaterThanOrEqual(index)
      }
    }
  })

  test('a leader that is cut off serves no linearizable read', async () => {
    const { leader, leaderId } = await group()
    network.isolate(leaderId)
    await expect(leader.readIndex()).rejects.toMatchObject({ code: 'NOT_LEADER' })
  })

  test('a follower whose questions are lost says TIMEOUT, or that the leader is gone', async () => {
    const { follower, leaderId } = await group()
    network.cut(follower.status().self, leaderId)
    const error: unknown = await follower.readIndex().catch((reason: unknown) => reason)
    expect(['TIMEOUT', 'NOT_LEADER']).toContain((error as { code: string }).code)
  })

  test('a bounded read is served by a follower without asking, and says how old it may be', async () => {
    const { leader, follower, leaderId } = await group()
    const { index } = await leader.append(Buffer.from('a'))
    await until(() => (follower.status().stalenessMs ?? Infinity) < 1_000 && follower.appliedIndex >= index)
    network.cut(follower.status().self, leaderId)
    expect(await follower.readIndex({ consistency: 'bounded', maxStalenessMs: 5_000 })).toBeGreaterThanOrEqual(index)
  })

  test('a leader that leaves the last voter to itself does not take itself for alone', async () => {
    const { leader, follower, leaderId } = await group()
    const leaving = IDS.filter((id) => id !== leaderId && id !== follower.status().self)
    for (const id of leaving) await leader.removeMember(id)
    network.isolate(leaderId)
    const removal = leader.removeMember(leaderId).catch((error: unknown) => error)
    await until(() => leader.status().voters.length === 1)
    expect(leader.status()).toMatchObject({ role: 'LEADER', ready: true, voters: [{ id: follower.status().self }] })
    expect(leader.status().stalenessMs).not.toBe(0)
    await expect(leader.readIndex({ consistency: 'bounded', maxStalenessMs: 0.000_1 })).rejects.toThrow()
    expect(await removal).toBeInstanceOf(Error)
  })

  test('a lease serves the leader alone, and no longer than it holds', async () => {
    const { leader, leaderId } = await group(true)
    await leader.append(Buffer.from('a'))
    expect(await leader.readIndex({ consistency: 'lease' })).toBeGreaterThanOrEqual(0)
    network.isolate(leaderId)
    await until(() => !leader.status().ready)
    await expect(leader.readIndex({ consistency: 'lease' })).rejects.toMatchObject({ code: 'NOT_LEADER' })
  })

  test('a wait ends with its signal, with the log, and with nonsense', async () => {
    const { leader, leaderId } = await group()
    network.isolate(leaderId)
    const abort = new AbortController()
    const read = leader.readIndex({ signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    await expect(leader.readIndex({ consistency: 'bounded' })).rejects.toMatchObject({ code: 'INVALID' })
    const last = leader.readIndex().catch((error: unknown) => error)
    const closed = leader.close()
    expect(await last).toMatchObject({ code: 'CLOSED' })
    await closed
    await expect(leader.readIndex()).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('a lease', () => {
  const settings = { ...DEFAULT_SETTINGS, leaseReads: true }
  const durationMs = leaseDurationMs(settings)
  const at = (clock: HandClock) => ({ monotonicMs: clock.mono, wallMs: clock.wall })

  function given(): { clock: HandClock; lease: Lease } {
    const clock = new HandClock()
    const lease = new Lease(clock, settings, new Set())
    lease.confirmed(3, 7, at(clock))
    return { clock, lease }
  }

  test('of the default timers lasts from one heartbeat to the next, and ends before any promise, drift included', () => {
    expect(durationMs).toBeGreaterThan(2 * DEFAULT_SETTINGS.heartbeatMs)
    const promiseMs = DEFAULT_SETTINGS.electionTimeoutMs - DEFAULT_SETTINGS.heartbeatMs - DEFAULT_SETTINGS.tickMs
    expect(durationMs / 0.98).toBeLessThan(promiseMs / 1.02)
  })

  test('ends by the clock, whatever else happens', () => {
    const { clock, lease } = given()
    clock.pass(durationMs - 1)
    expect(lease.holds(3)).toBe(true)
    clock.pass(2)
    expect(lease.holds(3)).toBe(false)
  })

  test.each([
    { name: 'the machine was suspended', change: (clock: HandClock) => (clock.wall += 1_000) },
    { name: 'the wall clock was set back, which may hide that', change: (clock: HandClock) => (clock.wall -= 1_000) },
  ])('is void when $name', ({ change }) => {
    const { clock, lease } = given()
    change(clock)
    expect(lease.holds(3)).toBe(false)
  })

  test('is of one term, and void for the rest of it once somebody was asked to take over', () => {
    const { clock, lease } = given()
    expect(lease.holds(4)).toBe(false)
    lease.handedOver(3)
    lease.confirmed(3, 8, at(clock))
    expect(lease.holds(3)).toBe(false)
    lease.confirmed(4, 1, at(clock))
    expect(lease.holds(4)).toBe(true)
  })

  test('is not given where leases are off', () => {
    const clock = new HandClock()
    const lease = new Lease(clock, DEFAULT_SETTINGS, new Set())
    lease.confirmed(3, 7, at(clock))
    expect(lease.holds(3)).toBe(false)
  })
})

describe('freshness', () => {
  test('counts from the moment whose commit index is applied, and gets on though the newest never is', () => {
    const clock = new HandClock()
    const freshness = new Freshness(clock)
    expect(freshness.stalenessMs).toBe(Infinity)
    const now = () => ({ monotonicMs: clock.mono, wallMs: clock.wall })
    expect(freshness.learned({ at: now(), commitIndex: 5 }, 0)).toBe(false)
    clock.pass(100)
    freshness.learned({ at: now(), commitIndex: 9 }, 0)
    clock.pass(100)
    freshness.learned({ at: now(), commitIndex: 20 }, 0)
    expect(freshness.applied(7)).toBe(true)
    expect(freshness.stalenessMs).toBeGreaterThanOrEqual(200)
    expect(freshness.applied(20)).toBe(true)
    expect(freshness.stalenessMs).toBe(0)
    clock.pass(98)
    expect(freshness.stalenessMs).toBeCloseTo(100)
  })

  test('rounds are found in their term while they are remembered', () => {
    const clock = new HandClock()
    const times = new RoundTimes(clock)
    times.sent(1, 7)
    clock.pass(10)
    times.sent(1, 7)
    expect(elapsedMs(clock, times.find(1, 7) as { monotonicMs: number; wallMs: number })).toBe(10)
    times.sent(1, 7 + 256)
    expect(times.find(1, 7)).toBeNull()
    times.sent(2, 1)
    expect(times.find(1, 7 + 256)).toBeNull()
  })
})
