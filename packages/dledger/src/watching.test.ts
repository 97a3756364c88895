/** What an embedder can watch: events, statuses as an iterator, diagnostics channels. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DLedger } from './dledger.ts'
import { MemoryNetwork, MemoryTransport } from './transport/memory.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dledger-watch-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const small = { fileBytes: 64 * 1024, indexFileBytes: 32 * 1024, zeroFillBytes: 16 * 1024 }

function collect(name: string): { readonly seen: Record<string, unknown>[]; stop(): void } {
  const seen: Record<string, unknown>[] = []
  const listener = (message: unknown): void => {
    seen.push(message as Record<string, unknown>)
  }
  subscribe(name, listener)
  return {
    seen,
    stop() {
      unsubscribe(name, listener)
    },
  }
}

describe('diagnostics channels', () => {
  test('tell of elections, appends and syncs, with group and member', async () => {
    const channels = ['dledger.election', 'dledger.append', 'dledger.sync'].map(collect)
    const [elections, appends, syncs] = channels as [
      ReturnType<typeof collect>,
      ReturnType<typeof collect>,
      ReturnType<typeof collect>,
    ]
    const log = await DLedger.open({ directory, group: 'g', ...small })
    const place = await log.append(Buffer.from('x'))
    await log.close()
    for (const one of channels) one.stop()
    expect(elections.seen).toContainEqual({
      group: 'g',
      self: 'n0',
      role: 'LEADER',
      term: 1,
      leader: 'n0',
      ready: true,
    })
    const mine = appends.seen.find((message) => message['firstIndex'] === place.index)
    expect(mine).toEqual({ group: 'g', self: 'n0', firstIndex: place.index, count: 1, bytes: 49, term: 1 })
    expect(syncs.seen.some((message) => (message['index'] as number) >= place.index)).toBe(true)
    expect(syncs.seen.every((message) => (message['tookMs'] as number) >= 0)).toBe(true)
  })

  test('tell what leaves for which peer', async () => {
    const replicated = collect('dledger.replicate')
    const logs = await openThree()
    await Promise.race(logs.map((log) => untilReady(log)))
    const leader = logs.find((log) => log.status().ready) as DLedger
    const { index } = await leader.append(Buffer.from('y'))
    replicated.stop()
    const self = leader.status().self
    const of = replicated.seen.filter((m) => m['self'] === self && (m['firstIndex'] as number) <= index)
    expect(of.length).toBeGreaterThan(0)
    expect(of.every((m) => m['peer'] !== self && (m['bytes'] as number) > 0)).toBe(true)
    await Promise.all(logs.map((log) => log.close()))
  })
})

const MEMBERS = ['n0', 'n1', 'n2']

async function openThree(): Promise<DLedger[]> {
  const network = new MemoryNetwork(systemClock)
  return Promise.all(
    MEMBERS.map((self) =>
      DLedger.open({
        directory: join(directory, self),
        self,
        members: MEMBERS,
        transport: new MemoryTransport({
          network,
          self,
          peers: MEMBERS.filter((id) => id !== self),
          clock: systemClock,
        }),
        ...small,
      }),
    ),
  )
}

async function untilReady(log: DLedger): Promise<void> {
  for await (const status of log.statuses()) if (status.ready) return
}

describe('statuses', () => {
  test('give the newest status after each change, and end when the log is closed', async () => {
    const log = await DLedger.open({ directory, ...small })
    const seen: number[] = []
    const watching = (async () => {
      for await (const status of log.statuses()) seen.push(status.appliedIndex)
    })()
    const { index } = await log.append(Buffer.from('x'))
    await log.close()
    await watching
    expect(seen.length).toBeGreaterThan(1)
    expect(Math.max(...seen)).toBe(index)
  })

  test('come again when the log starts later, though nothing is appended', async () => {
    const log = await DLedger.open({ directory, ...small, fileBytes: 4_096, indexFileBytes: 1_024 })
    for (let i = 0; i < 100; i++) await log.append(Buffer.alloc(100))
    const came = (async () => {
      for await (const { firstIndex } of log.statuses()) if (firstIndex > 0) return firstIndex
      return -1
    })()
    await log.trimBefore(log.commitIndex)
    expect(await came).toBeGreaterThan(0)
    await log.close()
  })

  test('come again when a peer comes and goes', async () => {
    const logs = await openThree()
    const [first, ...others] = logs as [DLedger, DLedger, DLedger]
    const heard = async (count: number): Promise<void> => {
      for await (const { peers } of first.statuses())
        if (peers.filter((peer) => peer.connected).length === count) return
    }
    await heard(2)
    const alone = heard(0)
    await Promise.all(others.map((log) => log.close()))
    await alone
    await first.close()
  })

  test('end with the reason of an abort', async () => {
    const log = await DLedger.open({ directory, ...small })
    const abort = new AbortController()
    const watching = (async () => {
      for await (const _status of log.statuses({ signal: abort.signal })) abort.abort(new Error('enough'))
    })()
    await expect(watching).rejects.toThrow('enough')
    await log.close()
  })
})

describe('events', () => {
  test('tell of the role, of peers, and that the log is closed', async () => {
    const logs = await openThree()
    const told: string[] = []
    for (const log of logs) {
      const { self } = log.status()
      log.on('role', ({ role, ready }) => told.push(`${self} ${role}${ready ? ' ready' : ''}`))
      log.on('peer', (id, connected) => told.push(`${self} ${connected ? 'hears' : 'lost'} ${id}`))
      log.on('closed', () => told.push(`${self} closed`))
    }
    await Promise.race(logs.map(untilReady))
    await Promise.all(logs.map((log) => log.close()))
    expect(told.some((line) => line.endsWith('LEADER ready'))).toBe(true)
    for (const self of MEMBERS) expect(told).toContain(`${self} closed`)
  })
})
