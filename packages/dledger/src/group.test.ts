/** Three members over TCP on loopback and real files: election, replication, a lost leader, a member that comes back. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DLedger } from './dledger.ts'
import type { DLedgerOptions } from './dledger-options.ts'
import type { DLedgerError } from './errors.ts'
import type { CommittedEntry, StateMachine, StateRestore, StateSnapshot } from './state-machine.ts'
import { bodiesOf, IDS, LoopbackGroup, SMALL } from './testing/loopback-group.ts'

let group: LoopbackGroup
beforeEach(async () => {
  group = await LoopbackGroup.create()
})
afterEach(() => group.close())

const bodies = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${from + i}:${'x'.repeat(500)}`))

const large = Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(500, `${i}`))

test('a group goes on after its leader is lost, and all members end with the same bytes', async () => {
  await Promise.all(IDS.map((id) => group.start(id, { advertised: `address of ${id}` })))
  await group.withLeader((leader) => leader.append(bodies(0, 200)))
  const old = (await group.leader()).status().self
  for (const [id, member] of group.open) {
    expect(member.advertisedOf(old)).toBe(`address of ${old}`)
    if (id !== old) await expect(member.append(Buffer.from('no'))).rejects.toMatchObject({ code: 'NOT_LEADER' })
  }
  await group.stop(old)
  await group.withLeader((leader) => leader.append(bodies(200, 200)))
  await group.start(old)
  await group.untilLevel()
  await group.withLeader((leader) => leader.append(bodies(400, 10)))
  await group.untilLevel()
  const expected = bodies(0, 410).map(String)
  for (const member of group.open.values()) expect(await bodiesOf(member)).toEqual(expected)
  await group.stopAll()
  expect(group.differingFiles()).toEqual([])
})

test('a member of another group is refused and stops, the group goes on', async () => {
  await Promise.all([group.start('n0'), group.start('n1')])
  await group.withLeader((leader) => leader.append(Buffer.from('a')))
  const stopped = new Promise<Error>((resolve) => {
    void group.start('n2', { directory: join(group.root, 'stranger'), group: 'another', onFatal: resolve })
  })
  expect(String(await stopped)).toMatch(/another/)
  await group.stop('n2')
  await group.withLeader((leader) => leader.append(Buffer.from('b')))
})

test('a trimmed log starts later on every member, and what is below is said to be gone', async () => {
  await group.startAll()
  const places = await group.withLeader((leader) => leader.append(large))
  const middle = places[500]?.index ?? -1
  await group.untilLevel()
  await group.withLeader((leader) => leader.trimBefore(middle))
  const starts = (): number[] => [...new Set([...group.open.values()].map((member) => member.firstIndex))]
  await group.until('one later start', () => starts().length === 1 && !starts().includes(0))
  const [first] = starts()
  expect(first).toBeLessThanOrEqual(middle)
  expect(middle - (first as number)).toBeLessThan(200)
  for (const member of group.open.values()) {
    await expect(member.read(0)).rejects.toMatchObject({ code: 'TRIMMED', detail: { firstIndex: first } })
    expect((await member.read(middle))?.body).toEqual(Buffer.alloc(500, '500'))
  }

  // It is the same after a restart, and who is a member is still known though the entries that said so are gone.
  await group.stopAll()
  await group.startAll()
  await group.withLeader((leader) => leader.append(Buffer.from('after')))
  expect(starts()).toEqual([first])
  expect((await bodiesOf(await group.leader())).at(-1)).toBe('after')
})

/** A member that is away while so much is appended that what it lacks is no longer in the log. @returns its id. */
async function fallBehindTheStart(startIt: (id: string) => Promise<DLedger>): Promise<string> {
  for (const id of IDS) await startIt(id)
  const leader = (await group.leader()).status().self
  const away = IDS.find((id) => id !== leader) as string
  await group.stop(away)
  const places = await group.withLeader((leads) => leads.append(large))
  await group.withLeader((leads) => leads.trimBefore(places[900]?.index ?? -1))
  return away
}

/** The others may have a file of the index from before the start of the log. */
const differingDataFiles = (ids: readonly string[]): string[] =>
  group.differingFiles(ids).filter((name) => name.startsWith('data/'))

const untilTrimmed = (): Promise<void> =>
  group.until('the head is gone', () => [...group.open.values()].every((member) => member.firstIndex > 0))

test('a follower that is behind the start of the log is given its files', async () => {
  const away = await fallBehindTheStart((id) => group.start(id))
  await untilTrimmed()
  const back = await group.start(away)
  await group.untilLevel()
  const lead = await group.leader()
  expect(back.firstIndex).toBe(lead.firstIndex)
  expect(await bodiesOf(back)).toEqual(await bodiesOf(lead))
  await group.withLeader((leader) => leader.append(Buffer.from('after')))
  await group.untilLevel()
  // And it is a member like any other after a restart.
  await group.stop(away)
  const again = await group.start(away)
  expect(again.firstIndex).toBe(lead.firstIndex)
  await group.untilLevel()
  await group.stopAll()
  expect(differingDataFiles(IDS)).toEqual([])
})

test('a follower that is behind the start of the log is given the state that belongs there', async () => {
  const machines = new Map(IDS.map((id) => [id, new CountingMachine()]))
  const startIt = (id: string): Promise<DLedger> =>
    group.start(id, { stateMachine: machines.get(id) as CountingMachine })
  const away = await fallBehindTheStart(startIt)
  await untilTrimmed()
  const back = await startIt(away)
  await group.untilLevel()
  await group.until('nothing is left to take in', () => !back.status().restoring)
  const [own, theirs] = [away, (await group.leader()).status().self].map((id) => machines.get(id) as CountingMachine)
  expect(own?.restores).toBe(1)
  expect(own?.bytes).toBe(theirs?.bytes)
  expect(own?.appliedIndex).toBe(theirs?.appliedIndex)
})

describe('entries that were lost here and trimmed everywhere else meanwhile', () => {
  /** What is hot has not gone with the files. */
  const cold = { hotBytesMax: 0 }

  /** @returns who is away: its log is damaged and ends behind the start of the others'. */
  async function damageAndTrim(
    startIt: (id: string) => Promise<DLedger>,
    damaged: 'an early entry' | 'the last one that was trimmed',
  ): Promise<string> {
    for (const id of IDS) await startIt(id)
    const places = await group.withLeader((leader) => leader.append(large))
    await group.untilLevel()
    const leader = (await group.leader()).status().self
    const away = IDS.find((id) => id !== leader) as string
    await group.stop(away)
    await group.withLeader((leads) => leads.trimBefore(places[900]?.index ?? -1))
    await group.until('the head is gone', () => [...group.open.values()].every((member) => member.firstIndex > 200))
    const index = damaged === 'an early entry' ? 175 : (await group.leader()).firstIndex - 1
    const { pos } = places.find((place) => place.index === index) as { pos: number }
    const start = pos - (pos % SMALL.fileBytes)
    const file = join(group.root, away, 'data', String(start).padStart(20, '0'))
    const bytes = readFileSync(file)
    const at = pos - start + 100
    bytes[at] = (bytes[at] as number) ^ 1
    writeFileSync(file, bytes)
    return away
  }

  test('come as a part of the state: the log goes on, and starts where the others do', async () => {
    const machines = new Map(IDS.map((id) => [id, new CountingMachine()]))
    const startIt = (id: string): Promise<DLedger> => {
      const options: Partial<DLedgerOptions> = { stateMachine: machines.get(id) as CountingMachine, ...cold }
      return group.start(id, options)
    }
    const away = await damageAndTrim(startIt, 'an early entry')
    const own = new CountingMachine()
    machines.set(away, own)
    const back = await startIt(away)
    await group.until('it has the state', () => own.restores === 1 && !back.status().restoring)
    await group.untilLevel()
    const leader = await group.leader()
    expect(back.firstIndex).toBe(leader.firstIndex)
    expect(back.status().lost).toEqual([])
    expect(own.bytes).toBe(machines.get(leader.status().self)?.bytes)
    await group.withLeader((leads) => leads.append(Buffer.from('after')))
    await group.untilLevel()
    expect(differingDataFiles([away, leader.status().self])).toEqual([])
    // And it is a member like any other after a restart, and may lead.
    await group.stop(away)
    const again = await startIt(away)
    await group.withLeader((leads) => (leads === again ? Promise.resolve() : leads.transferLeadership(away)))
    await group.until('it leads', () => again.status().ready)
    await group.withLeader((leads) => leads.append(Buffer.from('and on')))
  })

  test('give way to the log of an idle group, also where they end beyond what is committed and nobody knows their terms', async () => {
    // So long that nobody stops leading before the others are gone.
    const unhurried = { ...cold, electionTimeoutMs: 3_000 }
    await group.start('n0', unhurried)
    for (const id of ['n1', 'n2']) await group.start(id, cold)
    const places = await group.withLeader((leader) => leader.append(large))
    await group.withLeader((leader) =>
      leader.status().self === 'n0' ? Promise.resolve() : leader.transferLeadership('n0'),
    )
    await group.until('it leads', () => group.open.get('n0')?.status().ready === true)
    await group.untilLevel()
    const away = group.open.get('n0') as DLedger
    for (const id of ['n1', 'n2']) await group.stop(id)
    const unanswered = Promise.allSettled([away.append(bodies(0, 20))])
    await group.until('it has what nobody else has', () => away.lastIndex > (places.at(-1)?.index ?? 0) + 20)
    await group.stop('n0')
    expect((await unanswered)[0]?.status).toBe('rejected')
    const end = away.lastIndex
    for (const id of ['n1', 'n2']) await group.start(id, cold)
    await group.withLeader((leader) => leader.trimBefore(places[900]?.index ?? -1))
    await group.until('the head is gone', () => [...group.open.values()].every((member) => member.firstIndex > 200))
    expect((await group.leader()).commitIndex).toBeLessThan(end)
    for (const kind of ['data', 'index']) rmSync(join(group.root, 'n0', kind), { recursive: true })

    const back = await group.start('n0', cold)
    await group.until('its log is that of the others', () => back.status().lost.length === 0)
    await group.untilLevel()
    expect(back.commitIndex).toBeGreaterThanOrEqual(end)
    expect(await bodiesOf(back)).toEqual(await bodiesOf(await group.leader()))
  })

  test('are forgotten where there is no state', async () => {
    const away = await damageAndTrim((id) => group.start(id, cold), 'the last one that was trimmed')
    const { firstIndex, commitIndex } = await group.leader()
    const back = await group.start(away, cold)
    await group.until('it has heard what is committed', () => back.commitIndex >= commitIndex)
    // It has forgotten it by now, or will soon.
    await expect(back.read(firstIndex - 1)).rejects.toSatisfy((error) => {
      return ['CORRUPT', 'TRIMMED'].includes((error as DLedgerError).code)
    })
    await group.until('its log starts later', () => back.firstIndex === firstIndex)
    await group.untilLevel()
    expect(back.status().lost).toEqual([])
    expect(await bodiesOf(back)).toEqual(await bodiesOf(await group.leader()))
    await group.stop(away)
    expect((await group.start(away)).firstIndex).toBe(firstIndex)
  })
})

test('where a state cannot be handed over, a member that is away holds the trimming back', async () => {
  await fallBehindTheStart((id) => {
    const machine: StateMachine = new CountingMachine()
    delete machine.restore
    return group.start(id, { stateMachine: Object.assign(machine, { restore: undefined }) })
  })
  await group.withLeader((leader) => leader.append(Buffer.from('and one')))
  for (const member of group.open.values()) expect(member.firstIndex).toBe(0)
})

/** Counts bytes; its checkpoint is kept in memory, across restarts of its member. */
class CountingMachine implements StateMachine {
  appliedIndex = -1
  bytes = 0
  restores = 0
  checkpointIndex = -1

  discard(): void {
    this.appliedIndex = -1
    this.bytes = 0
  }
  apply(entries: readonly CommittedEntry[]): void {
    for (const entry of entries) {
      expect(entry.index).toBe(this.appliedIndex + 1)
      this.appliedIndex = entry.index
      this.bytes += entry.body.length
    }
  }
  roleChanged(): void {}
  durable(index: number): void {
    this.checkpointIndex = index
  }
  openSnapshot(callback: (error: Error | null, snapshot: StateSnapshot | null) => void): void {
    const state = Buffer.alloc(3_000_000)
    state.writeDoubleBE(this.bytes, state.length - 8)
    const snapshot: StateSnapshot = {
      index: this.appliedIndex,
      bytes: null,
      id: null,
      read: (at, bytesMax, give) => void setImmediate(() => give(null, state.subarray(at, at + bytesMax))),
      close: () => {},
    }
    setImmediate(() => callback(null, snapshot))
  }
  restore? = (index: number): StateRestore => {
    const pieces: Buffer[] = []
    return {
      write: (bytes, callback) => {
        pieces.push(Buffer.from(bytes))
        setImmediate(() => callback(null))
      },
      commit: (callback) => {
        const state = Buffer.concat(pieces)
        this.bytes = state.readDoubleBE(state.length - 8)
        this.appliedIndex = index
        this.checkpointIndex = index
        this.restores++
        setImmediate(() => callback(null))
      },
      abort: () => {},
    }
  }
}
