/** Three members over TCP on loopback and real files: election, replication, a lost leader, a member that comes back. */
import { createServer } from 'node:net'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DLedger, type DLedgerOptions } from './dledger.ts'
import type { CommittedEntry, StateMachine, StateRestore, StateSnapshot } from './state-machine.ts'
import { TcpTransport } from './transport/tcp.ts'

const IDS = ['n0', 'n1', 'n2']
const small = {
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 100,
}

let root: string
let ports: number[]
const open = new Map<string, DLedger>()

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'dledger-group-'))
  ports = await freePorts(3)
})
afterEach(async () => {
  await Promise.all([...open.values()].map((member) => member.close()))
  open.clear()
  rmSync(root, { recursive: true, force: true })
})

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

async function start(
  id: string,
  group = 'g',
  onFatal: (error: Error) => void = () => {},
  stateMachine: StateMachine | null = null,
  over: Partial<DLedgerOptions> = {},
): Promise<DLedger> {
  const peers = IDS.map((peer, i) => ({ id: peer, host: '127.0.0.1', port: ports[i] as number }))
  const member = await DLedger.open({
    directory: join(root, id),
    group,
    self: id,
    members: IDS,
    advertised: `address of ${id}`,
    onFatal,
    ...(stateMachine === null ? {} : { stateMachine }),
    transport: new TcpTransport({
      self: id,
      listenHost: '127.0.0.1',
      listenPort: ports[IDS.indexOf(id)] as number,
      peers,
      clock: systemClock,
      logger: silentLogger,
    }),
    ...small,
    ...over,
  })
  open.set(id, member)
  return member
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function leader(): Promise<[string, DLedger]> {
  const find = () => [...open].find(([, member]) => member.status().ready)
  await until('a leader', () => find() !== undefined)
  return find() as [string, DLedger]
}

async function bodiesOf(member: DLedger): Promise<string[]> {
  const found: string[] = []
  for await (const entry of member.entries()) found.push(entry.body.toString())
  return found
}

const bodies = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${from + i}:${'x'.repeat(500)}`))

test('a group goes on after its leader is lost, and all members end with the same bytes', async () => {
  await Promise.all(IDS.map((id) => start(id)))
  const [first, old] = await leader()
  await old.append(bodies(0, 200))
  for (const [id, member] of open) {
    expect(member.advertisedOf(first)).toBe(`address of ${first}`)
    if (id !== first) await expect(member.append(Buffer.from('no'))).rejects.toMatchObject({ code: 'NOT_LEADER' })
  }
  open.delete(first)
  await old.close()
  const [, next] = await leader()
  await next.append(bodies(200, 200))
  const back = await start(first)
  await until('the member has caught up', () => back.commitIndex === next.commitIndex)
  await next.append(bodies(400, 10))
  const expected = bodies(0, 410).map(String)
  await until('all have all', () => [...open.values()].every((member) => member.appliedIndex === next.lastIndex))
  for (const member of open.values()) expect(await bodiesOf(member)).toEqual(expected)
  await Promise.all([...open.values()].map((member) => member.close()))
  open.clear()
  for (const folder of ['data', 'index']) {
    const names = readdirSync(join(root, 'n0', folder))
    for (const id of ['n1', 'n2']) {
      expect(readdirSync(join(root, id, folder))).toEqual(names)
      for (const name of names) {
        const same = readFileSync(join(root, id, folder, name)).equals(readFileSync(join(root, 'n0', folder, name)))
        expect({ id, folder, name, same }).toEqual({ id, folder, name, same: true })
      }
    }
  }
})

test('a member of another group is refused and stops, the group goes on', async () => {
  await Promise.all([start('n0'), start('n1')])
  const [, member] = await leader()
  await member.append(Buffer.from('a'))
  let stopped: Error | null = null
  const stranger = await DLedger.open({
    directory: join(root, 'stranger'),
    group: 'another',
    self: 'n2',
    members: IDS,
    transport: new TcpTransport({
      self: 'n2',
      listenHost: '127.0.0.1',
      listenPort: ports[2] as number,
      peers: IDS.map((id, i) => ({ id, host: '127.0.0.1', port: ports[i] as number })),
      clock: systemClock,
      logger: silentLogger,
    }),
    onFatal: (error) => {
      stopped = error
    },
    ...small,
  })
  await until('the stranger has stopped', () => stopped !== null)
  expect(String(stopped)).toMatch(/another/)
  await stranger.close()
  await member.append(Buffer.from('b'))
})

test(
  'a trimmed log starts later on every member, and what is below is said to be gone',
  { timeout: 60_000 },
  async () => {
    for (const id of IDS) await start(id)
    const [, lead] = await leader()
    const places = await lead.append(Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(500, `${i}`)))
    const middle = places[500]?.index ?? -1
    await lead.append(Buffer.from('and one'))
    await until('everybody has it', () => [...open.values()].every((m) => m.appliedIndex === lead.lastIndex))
    await lead.trimBefore(middle)
    await until('a later start', () => [...open.values()].every((member) => member.firstIndex > 0))
    const starts = new Set([...open.values()].map((member) => member.firstIndex))
    expect(starts.size).toBe(1)
    const [first] = starts
    expect(first).toBeLessThanOrEqual(middle)
    expect(middle - (first as number)).toBeLessThan(200)
    await expect(lead.read(0)).rejects.toMatchObject({ code: 'TRIMMED', detail: { firstIndex: first } })
    expect((await lead.read(middle))?.body).toEqual(Buffer.alloc(500, '500'))

    // It is the same after a restart, and who is a member is still known though the entries that said so are gone.
    for (const [id, member] of open) {
      await member.close()
      open.delete(id)
    }
    for (const id of IDS) await start(id)
    const [, next] = await leader()
    expect(next.firstIndex).toBe(first)
    await next.append(Buffer.from('after'))
    expect((await bodiesOf(next)).at(-1)).toBe('after')
  },
)

test('a follower that is behind the start of the log is given its files', { timeout: 60_000 }, async () => {
  for (const id of IDS) await start(id)
  const [id, lead] = await leader()
  const away = IDS.find((other) => other !== id) as string
  await stop(away)
  const places = await lead.append(Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(500, `${i}`)))
  await lead.trimBefore(places[900]?.index ?? -1)
  await until('the head is gone', () => lead.firstIndex > 0)
  const back = await start(away)
  await until('it has caught up', () => back.appliedIndex === lead.appliedIndex)
  expect(back.firstIndex).toBe(lead.firstIndex)
  expect(await bodiesOf(back)).toEqual(await bodiesOf(lead))
  await lead.append(Buffer.from('after'))
  await until('it goes on', () => back.commitIndex === lead.commitIndex)
  // And it is a member like any other after a restart.
  await stop(away)
  const again = await start(away)
  expect(again.firstIndex).toBe(lead.firstIndex)
  await until('it has caught up again', () => again.appliedIndex === lead.appliedIndex)
  expect(dataFiles(away)).toEqual(dataFiles(id))
})

test(
  'a follower that is behind the start of the log is given the state that belongs there',
  { timeout: 60_000 },
  async () => {
    const machines = new Map(IDS.map((id) => [id, new CountingMachine()]))
    const startIt = (id: string): Promise<DLedger> => start(id, 'g', () => {}, machines.get(id) ?? null)
    for (const id of IDS) await startIt(id)
    const [id, lead] = await leader()
    const away = IDS.find((other) => other !== id) as string
    await stop(away)
    const places = await lead.append(Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(500, `${i}`)))
    await lead.trimBefore(places[900]?.index ?? -1)
    await until('the head is gone', () => lead.firstIndex > 0)
    const back = await startIt(away)
    await until('it has caught up', () => back.appliedIndex === lead.appliedIndex)
    await until('nothing is left to take in', () => !back.status().restoring)
    const [own, theirs] = [machines.get(away) as CountingMachine, machines.get(id) as CountingMachine]
    expect(own.restores).toBe(1)
    expect(own.bytes).toBe(theirs.bytes)
    expect(own.appliedIndex).toBe(theirs.appliedIndex)
  },
)

describe('entries that were lost here and trimmed everywhere else meanwhile', () => {
  /** What is hot has not gone with the files. */
  const cold = { hotBytesMax: 0 }

  /** @returns who leads and who is away, whose log is damaged and ends behind the start of the others'. */
  async function damageAndTrim(
    startIt: (id: string) => Promise<DLedger>,
    damaged: 'an early entry' | 'the last one that was trimmed',
  ): Promise<[DLedger, string]> {
    for (const id of IDS) await startIt(id)
    const [id, lead] = await leader()
    const away = IDS.find((other) => other !== id) as string
    const places = await lead.append(Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(500, `${i}`)))
    await until('it has all', () => open.get(away)?.commitIndex === lead.commitIndex)
    await stop(away)
    await lead.trimBefore(places[900]?.index ?? -1)
    await until('the head is gone', () => lead.firstIndex > 200)
    const index = damaged === 'an early entry' ? 175 : lead.firstIndex - 1
    const { pos } = places.find((place) => place.index === index) as { pos: number }
    const start = pos - (pos % small.fileBytes)
    const file = join(root, away, 'data', String(start).padStart(20, '0'))
    const bytes = readFileSync(file)
    const at = pos - start + 100
    bytes[at] = (bytes[at] as number) ^ 1
    writeFileSync(file, bytes)
    return [lead, away]
  }

  test(
    'come as a part of the state: the log goes on, and starts where the others do',
    { timeout: 60_000 },
    async () => {
      const machines = new Map(IDS.map((id) => [id, new CountingMachine()]))
      const startIt = (id: string): Promise<DLedger> => start(id, 'g', () => {}, machines.get(id) ?? null, cold)
      const [lead, away] = await damageAndTrim(startIt, 'an early entry')
      const own = new CountingMachine()
      machines.set(away, own)
      const back = await startIt(away)
      await until('it has the state', () => own.restores === 1 && !back.status().restoring)
      await until('it has caught up', () => back.appliedIndex === lead.appliedIndex)
      expect(back.firstIndex).toBe(lead.firstIndex)
      expect(back.status().lost).toEqual([])
      const theirs = machines.get(lead.status().self) as CountingMachine
      expect(own.bytes).toBe(theirs.bytes)
      await lead.append(Buffer.from('after'))
      await until('it goes on', () => back.appliedIndex === lead.appliedIndex)
      expect(dataFiles(away)).toEqual(dataFiles(lead.status().self))
      // And it is a member like any other after a restart, and may lead.
      await stop(away)
      await startIt(away)
      await lead.transferLeadership(away)
      await until('it leads', () => open.get(away)?.status().ready === true)
      await (open.get(away) as DLedger).append(Buffer.from('and on'))
    },
  )

  test('are forgotten where there is no state', { timeout: 60_000 }, async () => {
    const [lead, away] = await damageAndTrim(
      (id) => start(id, 'g', () => {}, null, cold),
      'the last one that was trimmed',
    )
    const back = await start(away, 'g', () => {}, null, cold)
    await until('it has heard what is committed', () => back.commitIndex === lead.commitIndex)
    await expect(back.read(lead.firstIndex - 1)).rejects.toMatchObject({ code: 'CORRUPT' })
    await until('its log starts later', () => back.firstIndex === lead.firstIndex)
    await until('it has caught up', () => back.appliedIndex === lead.appliedIndex)
    expect(back.status().lost).toEqual([])
    expect(await bodiesOf(back)).toEqual(await bodiesOf(lead))
    await stop(away)
    expect((await start(away)).firstIndex).toBe(lead.firstIndex)
  })
})

test(
  'where a state cannot be handed over, a member that is away holds the trimming back',
  { timeout: 60_000 },
  async () => {
    const startIt = (id: string): Promise<DLedger> => {
      const machine: StateMachine = new CountingMachine()
      delete machine.restore
      return start(id, 'g', () => {}, Object.assign(machine, { restore: undefined }))
    }
    for (const id of IDS) await startIt(id)
    const [id, lead] = await leader()
    const away = IDS.find((other) => other !== id) as string
    await stop(away)
    const places = await lead.append(Array.from({ length: 1_000 }, (_, i) => Buffer.alloc(500, `${i}`)))
    await lead.trimBefore(places[900]?.index ?? -1)
    await lead.append(Buffer.from('and one'))
    expect(lead.firstIndex).toBe(0)
  },
)

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

async function stop(id: string): Promise<void> {
  await open.get(id)?.close()
  open.delete(id)
}

/** Names and bytes of a member's data files; what is unused is zero everywhere. */
function dataFiles(id: string): string[] {
  const directory = join(root, id, 'data')
  return readdirSync(directory).map((name) => `${name} ${readFileSync(join(directory, name)).toString('base64')}`)
}
