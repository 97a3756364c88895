/** Following a queue: everything once and in order, memory and listeners bounded, ended by signal and close. */
import { getProperty, javaHash, type MessageRecord } from '@dledger-ts/protocol'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Arrivals } from './follow.ts'
import { MessageStore } from './message-store.ts'
import type { MessageStoreOptions } from './options.ts'
import { message, TempDirectory } from './testing/fixture.ts'
import { passes, until } from './testing/manual-clock.ts'

let temp: TempDirectory
let store: MessageStore
beforeEach(async () => {
  temp = new TempDirectory()
  store = await open()
})
afterEach(async () => {
  await store.close()
  temp.remove()
})

function open(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  return MessageStore.open({ dir: temp.path, fileBytes: 1024 * 1024, consumeQueueFileBytes: 2000, ...more })
}

async function putAll(from: number, to: number, tag?: string): Promise<void> {
  const puts = Array.from({ length: to - from }, (_, i) =>
    store.store({ topic: 'T', body: Buffer.from(`m${from + i}`), ...(tag === undefined ? {} : { tag }) }),
  )
  await Promise.all(puts)
}

/** Takes `count` messages and ends it. */
async function take(follower: AsyncGenerator<MessageRecord, void>, count: number): Promise<string[]> {
  const bodies: string[] = []
  for await (const { body } of follower) {
    bodies.push(body.toString())
    if (bodies.length === count) break
  }
  return bodies
}

const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `m${from + i}`)

describe('a follower', () => {
  test('gets what is there, then what comes, each once and in order', async () => {
    await putAll(0, 700)
    const taking = take(store.follow({ topic: 'T' }), 1400)
    await putAll(700, 1400)
    expect(await taking).toEqual(numbered(0, 1400))
  })

  test('begins where it is told to; what is not there yet is waited for', async () => {
    await putAll(0, 10)
    expect(await take(store.follow({ topic: 'T', from: 7 }), 3)).toEqual(['m7', 'm8', 'm9'])
    const ahead = take(store.follow({ topic: 'T', from: 12 }), 1)
    await putAll(10, 13)
    expect(await ahead).toEqual(['m12'])
  })

  test('waits for a queue that is not there yet, and is not woken by others', async () => {
    const follower = store.follow({ topic: 'T', queueId: 3 })
    const get = vi.spyOn(store, 'get')
    const first = follower.next()
    await putAll(0, 5)
    await store.store({ topic: 'U', queueId: 3, body: Buffer.from('u') })
    expect(get).not.toHaveBeenCalled()
    await store.store({ topic: 'T', queueId: 3, body: Buffer.from('t') })
    expect((await first).value).toMatchObject({ queueOffset: 0, queueId: 3 })
    await follower.return()
  })

  test('gets the tags it asks for, not those of the same hash', async () => {
    expect(javaHash('Aa')).toBe(javaHash('BB'))
    await putAll(0, 2, 'Aa')
    await putAll(2, 4, 'BB')
    await putAll(4, 6)
    const taking = take(store.follow({ topic: 'T', tags: ['BB', 'C'] }), 3)
    await putAll(6, 2000)
    await putAll(2000, 2001, 'C')
    expect(await taking).toEqual(['m2', 'm3', 'm2000'])
  })

  test('that is slow holds one read', async () => {
    await putAll(0, 2000)
    const get = vi.spyOn(store, 'get')
    const follower = store.follow({ topic: 'T' })
    for (let i = 0; i < 512; i++) await follower.next()
    await passes()
    expect(get).toHaveBeenCalledTimes(1)
    await follower.next()
    expect(get).toHaveBeenCalledTimes(2)
    await follower.return()
  })

  test('of a long backlog in memory lets other work run', async () => {
    await putAll(0, 3000)
    let hasPassed = true
    for await (const { queueOffset } of store.follow({ topic: 'T' })) {
      if (queueOffset % 512 === 0) {
        expect(hasPassed).toBe(true)
        hasPassed = false
        setImmediate(() => {
          hasPassed = true
        })
      }
      if (queueOffset === 2999) break
    }
  })

  test('ends with its signal: waiting, and in the middle of what is there', async () => {
    await putAll(0, 10)
    const ending = new AbortController()
    const taken: string[] = []
    for await (const { body } of store.follow({ topic: 'T', signal: ending.signal })) {
      taken.push(body.toString())
      if (taken.length === 4) ending.abort()
    }
    expect(taken).toEqual(numbered(0, 4))
    const later = new AbortController()
    const waiting = take(store.follow({ topic: 'T', from: 10, signal: later.signal }), 1)
    await passes()
    later.abort()
    expect(await waiting).toEqual([])
    expect(await take(store.follow({ topic: 'T', signal: later.signal }), 1)).toEqual([])
  })

  test('ends with the store, and what was there is given before', async () => {
    const waiting = [take(store.follow({ topic: 'T' }), 10), take(store.follow({ topic: 'T', queueId: 1 }), 10)]
    await putAll(0, 3)
    await until(() => store.statistics().read.messages === 3, 'they are read')
    await passes()
    await store.close()
    expect(await Promise.all(waiting)).toEqual([numbered(0, 3), []])
    expect(() => store.follow({ topic: 'T' })).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error)
  })

  test.each([-1, 1.5, Number.NaN])('from %d is refused', async (from) => {
    await expect(store.follow({ topic: 'T', from }).next()).rejects.toMatchObject({ code: 'INVALID' })
  })
})

describe('who waits', () => {
  test('is one listener of the store while there is anybody, and none afterwards', async () => {
    const listening = vi.fn<() => () => void>()
    const stopped = vi.fn()
    listening.mockReturnValue(stopped)
    const arrivals = new Arrivals(listening)
    const ending = new AbortController()
    const waits = [
      arrivals.next('T', 0, ending.signal),
      arrivals.next('T', 0, undefined),
      arrivals.next('T', 1, undefined),
      arrivals.next('U', 0, undefined),
    ]
    expect(listening).toHaveBeenCalledTimes(1)
    ending.abort()
    await waits[0]
    arrivals.messageArrived('T', 0)
    await waits[1]
    arrivals.messageArrived('T', 7)
    expect(arrivals.isListening).toBe(true)
    arrivals.wakeAll()
    await Promise.all(waits)
    expect(stopped).toHaveBeenCalledTimes(1)
    expect(arrivals.isListening).toBe(false)
  })

  test('takes nothing from other listeners of the same batch', async () => {
    const heard: number[] = []
    const taking = take(store.follow({ topic: 'T' }), 2)
    await passes()
    store.onMessages({ messageArrived: (_topic, _queueId, _tag, queueOffset) => heard.push(queueOffset) })
    store.putBatch([message('T', 'a'), message('T', 'b')], {
      stored: () => {},
      putFailed: (error) => {
        throw error
      },
    })
    expect(await taking).toEqual(['a', 'b'])
    expect(heard).toEqual([0, 1])
  })
})

describe('a message in few words', () => {
  test('has the properties that tags, keys and ids are', async () => {
    await store.store({
      topic: 'T',
      body: Buffer.from('x'),
      tag: 'a',
      keys: ['k1', 'k2'],
      uniqueId: 'U',
      properties: { color: 'red' },
    })
    const [record] = (await store.get({ topic: 'T' })).records
    expect(record).toBeDefined()
    const { value } = await store.follow({ topic: 'T' }).next()
    const properties = value?.properties ?? ''
    expect(['TAGS', 'KEYS', 'UNIQ_KEY', 'color', 'DELAY'].map((name) => getProperty(properties, name))).toEqual([
      'a',
      'k1 k2',
      'U',
      'red',
      undefined,
    ])
    expect(value?.bornTimestamp).toBeGreaterThan(1_600_000_000_000)
  })

  test.each([
    { name: 'a key with a space', more: { keys: ['a b'] } },
    { name: 'a tag with a separator', more: { tag: 'a\x02b' } },
    { name: 'a property without a name', more: { properties: { '': 'x' } } },
    { name: 'a body that is none', more: { body: 'text' as unknown as Buffer } },
  ])('$name is refused', async ({ more }) => {
    const wrong = { topic: 'T', body: Buffer.alloc(0), ...more }
    await expect(store.store(wrong)).rejects.toMatchObject({ code: 'INVALID' })
  })
})
