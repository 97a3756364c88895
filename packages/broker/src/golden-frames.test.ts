/**
 * Requests that real clients sent to Apache's broker, sent to ours: every one is understood, and an answer with the same code has
 * the same ext fields. Offsets and times differ, so the codes may; `may differ` says where and why.
 */
import { readFileSync } from 'node:fs'
import { decodeCommand, RemotingClient, RequestCode } from '@dledger-ts/remoting'
import { afterEach, describe, expect, test } from 'vitest'
import { type Fixture, startBroker } from './testing/broker-fixture.ts'

interface Frame {
  readonly dir: 'c2s' | 's2c'
  readonly peer: string
  readonly code: number
  readonly response: boolean
  readonly oneway: boolean
  readonly requestCode?: number
  readonly header: { readonly extFields?: Readonly<Record<string, unknown>> }
  readonly hex: string | null
}

const VECTORS = new URL('../../../test/vectors/frames/', import.meta.url)
const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function framesOf(file: string): Frame[] {
  const lines = readFileSync(new URL(`${file}.jsonl`, VECTORS), 'utf8')
    .trim()
    .split('\n')
  return lines.map((line) => JSON.parse(line) as Frame).filter((frame) => frame.peer === 'broker')
}

const fieldNames = (fields: Readonly<Record<string, unknown>> | undefined) =>
  Object.keys(fields ?? {})
    .sort()
    .join()

/** Answers of ours that have another code than any recorded one, and what they say. */
const mayDiffer: { request: number; code: number; remark: RegExp; why: string }[] = [
  { request: 37, code: 1, remark: /Find prepared/, why: 'the offset is from another log' },
  { request: 11, code: 1, remark: /filter message by SQL92/, why: 'expressions are not served yet' },
  { request: 46, code: 1, remark: /filter message by SQL92/, why: 'expressions are not served yet' },
  { request: 12, code: 22, remark: /can not find message/, why: 'there is no key index yet' },
  { request: 33, code: 1, remark: /can not find message by the offset/, why: 'the offset is from another log' },
  { request: 36, code: 1, remark: /look message by offset failed/, why: 'the offset is from another log' },
  { request: 38, code: 1, remark: /no consumer for this group/, why: 'the copy holds few heartbeats' },
  { request: 11, code: 24, remark: /not exist/, why: 'the copy holds few heartbeats' },
  { request: 11, code: 21, remark: /OFFSET_OVERFLOW_BADLY/, why: 'fewer messages were sent' },
  { request: 11, code: 19, remark: /OFFSET_OVERFLOW_ONE|NO_/, why: 'fewer messages were sent' },
  { request: 11, code: 20, remark: /NO_MATCHED_MESSAGE/, why: 'other messages were sent' },
]

async function brokerOfRecording(): Promise<Fixture> {
  const fixture = await startBroker({
    brokerClusterName: 'GoldCluster',
    brokerName: 'gold-b1',
    defaultTopicQueueNums: '2',
  })
  closers.push(() => fixture.close())
  return fixture
}

describe.each(['java-5.5.0', 'java-4.9.8', 'java-4.9.8-binary', 'go-2.1.2', 'ali-ons-3.12.0'])('%s', (file) => {
  test('is answered as by Apache', async () => {
    const frames = framesOf(file)
    const recorded = new Map<string, Set<string>>()
    for (const frame of frames) {
      if (frame.dir !== 's2c' || !frame.response) continue
      const key = `${frame.requestCode} -> ${frame.code}`
      recorded.set(key, (recorded.get(key) ?? new Set()).add(fieldNames(frame.header.extFields)))
    }
    const { broker } = await brokerOfRecording()
    const client = new RemotingClient()
    closers.push(() => client.close())
    let answered = 0
    for (const { dir, response, oneway, hex } of frames) {
      if (dir !== 'c2s' || response || hex === null) continue
      const bytes = Buffer.from(hex, 'hex')
      const request = decodeCommand(bytes, 4, bytes.length)
      if (request.extFields?.['suspendTimeoutMillis'] !== undefined) request.extFields['suspendTimeoutMillis'] = '50'
      // A producer that does not know the outcome gets no answer.
      if (oneway || request.extFields?.['commitOrRollback'] === '0') {
        client.oneway(broker.address, request)
        continue
      }
      const answer = await client.invoke(broker.address, request, 20_000)
      answered++
      const shapes = recorded.get(`${request.code} -> ${answer.code}`)
      const isAllowed = mayDiffer.some(
        (row) => row.request === request.code && row.code === answer.code && row.remark.test(answer.remark ?? ''),
      )
      const isRecorded = [...recorded.keys()].some((key) => key.startsWith(`${request.code} -> `))
      if (shapes === undefined && (isAllowed || !isRecorded)) continue
      expect(shapes, `${request.code} was answered ${answer.code}: ${answer.remark}`).toBeDefined()
      const names = fieldNames(answer.extFields)
      if (!isAllowed) expect([...(shapes ?? [])], `ext fields of ${request.code} -> ${answer.code}`).toContain(names)
      if (request.code === RequestCode.HEART_BEAT) expect(answer.version).toBe(479)
    }
    expect(answered).toBeGreaterThan(3)
  })
})
