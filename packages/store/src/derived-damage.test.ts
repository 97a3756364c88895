/**
 * One changed byte, or a cut, anywhere in the files that a small store derives from its log: it serves exactly its messages, or refuses
 * to open with an error that says why.
 */
import fs from 'node:fs'
import path from 'node:path'
import { recordBody } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { StoreError } from './errors.ts'
import { MessageStore } from './message-store.ts'
import { get, message, TempDirectory } from './testing/fixture.ts'

const TOPICS = ['T0', 'T1']
const COUNT = 9

let temp: TempDirectory
const files: { readonly name: string; readonly bytes: number }[] = []

function open(dir: string): Promise<MessageStore> {
  return MessageStore.open({ dir, fileBytes: 65_536, consumeQueueFileBytes: 60 })
}

beforeAll(async () => {
  temp = new TempDirectory()
  const dir = path.join(temp.path, 'whole')
  const store = await open(dir)
  for (let i = 0; i < COUNT; i++) for (const topic of TOPICS) await store.store(message(topic, `${topic} ${i}`))
  await store.close()
  for (const part of ['consumequeue', 'metadata', 'checkpoint']) {
    const at = path.join(dir, part)
    const names = fs.statSync(at).isFile() ? [''] : (fs.readdirSync(at, { recursive: true }) as string[])
    for (const name of names) {
      const file = path.join(at, name)
      if (fs.statSync(file).isFile()) files.push({ name: path.relative(dir, file), bytes: fs.statSync(file).size })
    }
  }
})
afterAll(() => temp.remove())

async function served(dir: string): Promise<unknown> {
  let store: MessageStore
  try {
    store = await open(dir)
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError)
    expect((error as StoreError).message.length).toBeGreaterThan(10)
    return 'refused'
  }
  try {
    const found: Record<string, string[]> = {}
    for (const topic of TOPICS) {
      const bodies: string[] = []
      while (bodies.length < store.maxOffset(topic, 0)) {
        const { status, records } = await get(store, { topic, queueOffset: bodies.length, maxCount: 4 })
        if (status !== 'FOUND') return `${status} at ${bodies.length} of ${topic}`
        bodies.push(...records.map((record) => recordBody(record).toString()))
      }
      found[topic] = bodies
    }
    return found
  } finally {
    await store.close()
  }
}

const MODEL = Object.fromEntries(
  TOPICS.map((topic) => [topic, Array.from({ length: COUNT }, (_, i) => `${topic} ${i}`)]),
)

describe('a store with damage in what it derives from its log', () => {
  test('serves its messages, or refuses to open', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (which, place, flip, isCut) => {
          const { name, bytes } = files[which % files.length] ?? { name: '', bytes: 0 }
          if (bytes === 0) return
          const dir = fs.mkdtempSync(path.join(temp.path, 'run-'))
          fs.cpSync(path.join(temp.path, 'whole'), dir, { recursive: true })
          const file = path.join(dir, name)
          const at = place % bytes
          if (isCut) {
            fs.truncateSync(file, at)
          } else {
            const content = fs.readFileSync(file)
            content[at] = (content[at] ?? 0) ^ flip
            fs.writeFileSync(file, content)
          }
          const outcome = await served(dir)
          if (outcome !== 'refused') expect(outcome).toEqual(MODEL)
          if (!name.startsWith('metadata')) expect(outcome).toEqual(MODEL)
          fs.rmSync(dir, { recursive: true })
        },
      ),
      { numRuns: 40 },
    )
  })
})
