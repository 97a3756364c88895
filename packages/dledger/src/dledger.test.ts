/** The embedding API on real files, with one member and no network. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DLedger } from './dledger.ts'
import type { CommittedEntry, StateMachine } from './state-machine.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dledger-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const small = { fileBytes: 64 * 1024, indexFileBytes: 32 * 1024, zeroFillBytes: 16 * 1024 }
const bodies = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => Buffer.from(`body ${from + i} ${'x'.repeat((from + i) % 300)}`))

async function all(log: DLedger): Promise<string[]> {
  const found: string[] = []
  for await (const entry of log.entries()) found.push(entry.body.toString())
  return found
}

describe('one member', () => {
  test('gives back what was appended, after it was closed and opened again, over several files', async () => {
    const expected = bodies(0, 1000)
    {
      const log = await DLedger.open({ directory, ...small })
      const places = await log.append(expected.slice(0, 600))
      expect(places).toHaveLength(600)
      expect(await all(log)).toEqual(expected.slice(0, 600).map(String))
      await log.close()
    }
    expect(readdirSync(join(directory, 'data')).length).toBeGreaterThan(1)
    const log = await DLedger.open({ directory, ...small })
    const place = await log.append(expected[600] as Buffer)
    expect((await log.read(place.index))?.body).toEqual(expected[600])
    await log.append(expected.slice(601))
    expect(await all(log)).toEqual(expected.map(String))
    await log.close()
  })

  test('follows the end of the log until it is aborted', async () => {
    const log = await DLedger.open({ directory, ...small })
    const abort = new AbortController()
    const seen: string[] = []
    const following = (async () => {
      for await (const entry of log.entries({ follow: true, signal: abort.signal })) {
        seen.push(entry.body.toString())
        if (seen.length === 3) abort.abort()
      }
    })()
    await log.append(Buffer.from('a'))
    await log.append([Buffer.from('b'), Buffer.from('c')])
    await expect(following).rejects.toThrow('aborted')
    expect(seen).toEqual(['a', 'b', 'c'])
    await log.close()
  })

  test('gives a state machine each entry once and in order, and on the next open only what it has not got', async () => {
    const first = new Recorder(-1)
    const log = await DLedger.open({ directory, ...small, stateMachine: first })
    await log.append(bodies(0, 50))
    await log.close()
    expect(first.indexes).toEqual(Array.from({ length: log.lastIndex + 1 }, (_, i) => i))

    const second = new Recorder(20)
    const again = await DLedger.open({ directory, ...small, stateMachine: second })
    expect(second.indexes[0]).toBe(21)
    expect(second.indexes).toEqual(Array.from({ length: again.lastIndex - 20 }, (_, i) => 21 + i))
    await again.close()
  })

  test('has the state discarded and built again when it is beyond the log', async () => {
    const log = await DLedger.open({ directory, ...small })
    await log.append(bodies(0, 3))
    await log.close()
    const recorder = new Recorder(1_000)
    const again = await DLedger.open({ directory, ...small, stateMachine: recorder })
    expect(recorder.indexes).toEqual(Array.from({ length: again.lastIndex + 1 }, (_, i) => i))
    await again.close()
  })

  test('refuses a second owner, another file size, another group, and what is too large', async () => {
    const log = await DLedger.open({ directory, ...small })
    await expect(DLedger.open({ directory, ...small })).rejects.toMatchObject({ code: 'INVALID' })
    await expect(log.append(Buffer.alloc(small.fileBytes))).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await log.close()
    await expect(log.append(Buffer.from('late'))).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(DLedger.open({ directory, ...small, fileBytes: 128 * 1024 })).rejects.toThrow(/65536 bytes.*131072/)
    await expect(DLedger.open({ directory, ...small, group: 'other' })).rejects.toThrow(/group default, not other/)
    await expect(DLedger.open({ directory, ...small, electionTimeoutMs: 1 })).rejects.toThrow(/electionTimeoutMs/)
  })
})

class Recorder implements StateMachine {
  readonly indexes: number[] = []
  appliedIndex: number

  constructor(appliedIndex: number) {
    this.appliedIndex = appliedIndex
  }

  discard(): void {
    this.appliedIndex = -1
  }

  apply(entries: readonly CommittedEntry[]): void {
    for (const entry of entries) this.indexes.push(entry.index)
  }

  roleChanged(): void {}

  durable(): void {}
}

describe('a member that stops', () => {
  class Broken extends Recorder {
    throws = true
    override apply(entries: readonly CommittedEntry[]): void {
      if (this.throws) throw new Error('oops')
      super.apply(entries)
    }
  }

  test('while it is opened, is an error, and the directory is free again', async () => {
    const broken = DLedger.open({ directory, ...small, stateMachine: new Broken(-1) })
    await expect(broken).rejects.toThrow('oops')
    const log = await DLedger.open({ directory, ...small })
    await log.close()
  })

  test('ends the iterators that wait for more', async () => {
    const machine = new Broken(-1)
    machine.throws = false
    const log = await DLedger.open({ directory, ...small, stateMachine: machine })
    const entries = log.entries({ follow: true })
    const first = entries.next()
    machine.throws = true
    await expect(log.append(Buffer.from('a'))).rejects.toMatchObject({ code: 'TIMEOUT' })
    // It is committed, though it could not be applied here.
    expect(await first).toMatchObject({ done: false })
    await expect(entries.next()).rejects.toThrow('oops')
    await log.close()
  })
})

test('what cannot be a group or a directory is refused before anything is changed', async () => {
  const path = join(directory, 'member')
  const rows: [options: object, message: RegExp][] = [
    [{ members: ['n0', 'n1', 'n1'] }, /n1 is named twice/],
    [{ members: ['n1'] }, /n0 is not among/],
    [{ self: '', members: [''] }, /has 0 bytes/],
    [{ group: 'g'.repeat(5000) }, /has 5000 bytes/],
  ]
  for (const [options, message] of rows) {
    await expect(DLedger.open({ directory: path, ...small, ...options })).rejects.toThrow(message)
  }
  expect(readdirSync(directory)).toEqual([])
  writeFileSync(path, '')
  for (const place of [path, join(path, 'below')]) {
    const opening = DLedger.open({ directory: place, ...small })
    await expect(opening).rejects.toMatchObject({ code: 'INVALID', message: expect.stringContaining(place) as string })
  }
})

test('what is no buffer and no index is refused, and the member goes on', async () => {
  const log = await DLedger.open({ directory, ...small })
  for (const body of [new Uint8Array(3), 'text', [new Uint8Array(3)], undefined] as unknown[]) {
    await expect(log.append(body as Buffer)).rejects.toMatchObject({ code: 'INVALID' })
  }
  for (const index of [Number.NaN, 0.5, 1000]) await expect(log.read(index)).rejects.toMatchObject({ code: 'INVALID' })
  const { index } = await log.append(Buffer.from('a'))
  await log.close()
  await expect(log.read(index)).rejects.toMatchObject({ code: 'CLOSED' })
})
