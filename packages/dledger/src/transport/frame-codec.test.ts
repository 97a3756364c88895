/** Frames are found wherever chunks begin and end, and bytes that are no frames end in a FrameError, never in anything else. */
import { seededRandom } from '@dledger-ts/base'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeControl, encodeControl } from './control-part.ts'
import { encodeFrame, FRAME_HEAD_BYTES, FrameError, FrameReader, type FrameSink } from './frame-codec.ts'
import { answerOf, introductionOf } from './greeting.ts'
import { DEFAULT_TRANSPORT_LIMITS } from './limits.ts'
import { messageOf, messageValues } from './message-codec.ts'
import type { Message } from '../raft/messages.ts'

interface Frame {
  readonly control: readonly unknown[]
  readonly payload: string | null
}

class Collector implements FrameSink {
  readonly frames: Frame[] = []
  readonly payloads: (Buffer | null)[] = []
  #control: readonly unknown[] = []

  controlRead(control: Buffer): void {
    this.#control = decodeControl(control)
  }
  frameRead(payload: Buffer | null): void {
    this.frames.push({ control: this.#control, payload: payload?.toString('hex') ?? null })
    this.payloads.push(payload)
  }
}

function wire(frames: readonly Frame[]): Buffer {
  return Buffer.concat(
    frames.flatMap(({ control, payload }) => {
      const bytes = Buffer.from(payload ?? '', 'hex')
      return [encodeFrame(encodeControl(control as number[]), bytes.length), bytes]
    }),
  )
}

const LIMITS = { ...DEFAULT_TRANSPORT_LIMITS, payloadBytesMax: 4_096, controlBytesMax: 256 }
const SAMPLE_MESSAGES = sampleMessages({ from: 'n1', to: 'n0', storeId: 's1' })
const FRAMES: readonly Frame[] = [
  { control: [7, 3, 4_294_967_297, 9], payload: null },
  { control: [5, 3, 8, 2, 1, 3, 5, 7], payload: '00ff10ff20' },
  { control: [9, 0], payload: null },
  { control: ['a'.repeat(200)], payload: 'ab'.repeat(4_096) },
  { control: [true, false, -1, -40, -300, -70_000, 1e15], payload: '01' },
]

describe('the frame codec', () => {
  it('writes the layout that the file draws', () => {
    // frameBytes 4 + 4 + 3 + 2, controlBytes 3, CRC-32 of 92 09 00 (zlib.crc32 of Python), then control and payload.
    expect(Buffer.concat([encodeFrame(encodeControl([9, 0]), 2), Buffer.from('beef', 'hex')]).toString('hex')).toBe(
      ['0000000d', '00000003', 'd0140ec5', '920900', 'beef'].join(''),
    )
  })

  it.each([1, 2, 3, 5, 11, 12, 13, 64, 1_000, 100_000])('finds the frames in chunks of %d bytes', (chunkBytes) => {
    const bytes = wire(FRAMES)
    const collector = new Collector()
    const reader = new FrameReader(LIMITS, collector)
    for (let at = 0; at < bytes.length; at += chunkBytes) reader.push(bytes.subarray(at, at + chunkBytes))
    expect(collector.frames).toEqual(FRAMES)
  })

  it('finds the frames wherever the stream is cut in two', () => {
    const bytes = wire(FRAMES.slice(0, 3))
    for (let cut = 0; cut <= bytes.length; cut++) {
      const collector = new Collector()
      const reader = new FrameReader(LIMITS, collector)
      reader.push(bytes.subarray(0, cut))
      reader.push(bytes.subarray(cut))
      expect(collector.frames).toEqual(FRAMES.slice(0, 3))
    }
  })

  it('does not copy a payload that lies within one chunk', () => {
    const bytes = wire(FRAMES)
    const collector = new Collector()
    new FrameReader(LIMITS, collector).push(bytes)
    expect(collector.payloads[1]?.buffer).toBe(bytes.buffer)
  })

  it('hands out nothing more once stopped, even of the chunk that is being read', () => {
    const collector = new Collector()
    const reader: FrameReader = new FrameReader(LIMITS, {
      controlRead: (control) => collector.controlRead(control),
      frameRead: (payload) => {
        collector.frameRead(payload)
        reader.stop()
      },
    })
    reader.push(wire(FRAMES))
    reader.push(wire(FRAMES))
    expect(collector.frames).toHaveLength(1)
  })

  const control = encodeControl([9, 0])
  const head = (frameBytes: number, controlBytes: number): Buffer => {
    const bytes = encodeFrame(control, 0)
    bytes.writeUInt32BE(frameBytes, 0)
    bytes.writeUInt32BE(controlBytes, 4)
    return bytes
  }
  const broken = encodeFrame(control, 0)
  broken.writeUInt8(broken.readUInt8(FRAME_HEAD_BYTES) ^ 1, FRAME_HEAD_BYTES)
  it.each([
    { name: 'a payload beyond the limit', bytes: head(8 + 3 + 4_097, 3), code: 'LENGTH' },
    { name: 'four gigabytes', bytes: head(0xffffffff, 3), code: 'LENGTH' },
    { name: 'a control part beyond the limit', bytes: head(8 + 257, 257), code: 'LENGTH' },
    { name: 'a control part longer than its frame', bytes: head(8, 3), code: 'LENGTH' },
    { name: 'a frame of nothing', bytes: head(0, 0), code: 'LENGTH' },
    { name: 'a flipped bit in the control part', bytes: broken, code: 'CRC' },
    { name: 'text of another protocol', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n'), code: 'LENGTH' },
  ])('refuses $name', ({ bytes, code }) => {
    const reader = new FrameReader(LIMITS, new Collector())
    expect(() => reader.push(bytes)).toThrow(expect.objectContaining({ name: 'FrameError', code }))
  })

  it('ends every kind of random bytes in frames or a FrameError', () => {
    const random = seededRandom(20_260_730)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (noise, framed) => {
        const bytes = framed ? encodeFrame(Buffer.from(noise), 0) : Buffer.from(noise)
        const reader = new FrameReader(LIMITS, {
          controlRead: (part, payloadBytes) => {
            const values = decodeControl(part)
            for (const decode of [
              () => messageOf(values, { from: 'a', to: 'b', storeId: 's' }, payloadBytes),
              () => introductionOf(values),
              () => answerOf(values),
            ]) {
              expectOnlyFrameErrors(decode)
            }
          },
          frameRead: () => {},
        })
        expectOnlyFrameErrors(() => {
          for (let at = 0; at < bytes.length;) {
            const size = 1 + random.below(40)
            reader.push(bytes.subarray(at, at + size))
            at += size
          }
        })
      }),
      { numRuns: 5_000 },
    )
  })

  it('ends every flipped byte and every changed value of a real message in a message or a FrameError', () => {
    for (const { message, payload } of SAMPLE_MESSAGES) {
      const bytes = encodeControl(messageValues(message))
      for (let at = 0; at < bytes.length; at++) {
        for (let mask = 1; mask < 256; mask++) {
          const changed = Buffer.from(bytes)
          changed.writeUInt8(changed.readUInt8(at) ^ mask, at)
          expectOnlyFrameErrors(() => messageOf(decodeControl(changed), message, payload?.length ?? 0))
        }
      }
    }
  })
})

function expectOnlyFrameErrors(act: () => unknown): void {
  try {
    act()
  } catch (error) {
    if (!(error instanceof FrameError)) throw error
  }
}

describe('the control part', () => {
  it.each([
    { name: 'nothing', bytes: '' },
    { name: 'a number', bytes: '05' },
    { name: 'a map', bytes: '8101a0' },
    { name: 'a nested array', bytes: '9190' },
    { name: 'an array of four billion', bytes: 'ddffffffff' },
    { name: 'an array inside that claims four billion', bytes: '91ddffffffff' },
    { name: 'nil', bytes: '91c0' },
    { name: 'a 64-bit integer', bytes: '91cfffffffffffffffff' },
    { name: 'an extension', bytes: '91d40000' },
    { name: 'a text cut short', bytes: '92a3616263da0005' },
    { name: 'a text whose length is cut off', bytes: '91d9' },
    { name: 'fewer values than announced', bytes: '9301' },
    { name: 'bytes after the array', bytes: '910101' },
  ])('refuses $name', ({ bytes }) => {
    expect(() => decodeControl(Buffer.from(bytes, 'hex'))).toThrow(FrameError)
  })
})

describe('the message codec', () => {
  it.each(SAMPLE_MESSAGES)('brings back $message.type as it was', ({ message, payload }) => {
    expect(messageOf(decodeControl(encodeControl(messageValues(message))), message, payload?.length ?? 0)).toEqual(
      message,
    )
  })

  const append = [5, 7, 10, 6, 2, 7, 100, 9]
  const between = { from: 'n1', to: 'n0', storeId: 's' }
  it.each([
    { name: 'an unknown code', values: [99, 1], payloadBytes: 0 },
    { name: 'no term', values: [9], payloadBytes: 0 },
    { name: 'a negative term', values: [9, -1], payloadBytes: 0 },
    { name: 'a fractional term', values: [9, 1.5], payloadBytes: 0 },
    { name: 'a term beyond 2^53', values: [9, 2 ** 53], payloadBytes: 0 },
    { name: 'a term that is text', values: [9, '1'], payloadBytes: 0 },
    { name: 'a value too many', values: [9, 1, 1], payloadBytes: 0 },
    { name: 'a value too few', values: append.slice(0, 7), payloadBytes: 100 },
    { name: 'an index below -1', values: append.with(2, -2), payloadBytes: 100 },
    { name: 'another payload size than announced', values: append, payloadBytes: 99 },
    { name: 'bytes without entries', values: append.with(4, 0), payloadBytes: 100 },
    { name: 'entries without bytes', values: append.with(6, 0), payloadBytes: 0 },
    { name: 'a payload with a heartbeat', values: [7, 1, 1, 1], payloadBytes: 1 },
    { name: 'a number for a boolean', values: [2, 1, 1], payloadBytes: 0 },
    { name: 'nothing at all', values: [], payloadBytes: 0 },
  ])('refuses $name', ({ values, payloadBytes }) => {
    expect(() => messageOf(values, between, payloadBytes)).toThrow(FrameError)
  })
})

interface SampleMessage {
  readonly message: Message
  readonly payload: Buffer | null
}

/** One message of every kind, with values of every width. */
function sampleMessages(between: { from: string; to: string; storeId: string }): SampleMessage[] {
  const payload = Buffer.from('the bytes of two entries')
  const messages: readonly Message[] = [
    { ...between, type: 'PreVote', term: 0, lastIndex: -1, lastTerm: 0, leaderAgrees: false },
    { ...between, type: 'PreVoteResponse', term: 1, granted: true, recovering: false },
    { ...between, type: 'RequestVote', term: 127, lastIndex: 128, lastTerm: 126, leaderAgrees: true },
    { ...between, type: 'RequestVoteResponse', term: 128, granted: false, recovering: false },
    {
      ...between,
      type: 'AppendEntries',
      term: 255,
      prevIndex: 65_535,
      prevTerm: 254,
      count: 2,
      entriesTerm: 255,
      bytes: payload.length,
      commitIndex: 65_536,
    },
    {
      ...between,
      type: 'AppendEntries',
      term: 256,
      prevIndex: -1,
      prevTerm: 0,
      count: 0,
      entriesTerm: 0,
      bytes: 0,
      commitIndex: -1,
    },
    {
      ...between,
      type: 'AppendEntriesResponse',
      term: 2 ** 32,
      success: true,
      matchIndex: 2 ** 53 - 1,
      prevIndex: 2 ** 32 - 1,
      lastIndex: 2 ** 40,
      conflictTerm: -1,
      conflictFirstIndex: -1,
      incarnation: 2 ** 16,
      recovering: true,
    },
    { ...between, type: 'HeartbeatResponse', term: 3, round: 0, health: 5, diskUsage: 100 },
    { ...between, type: 'Recover', term: 3, incarnation: 300, nonce: 2 ** 33 },
    { ...between, type: 'RecoverResponse', term: 3, incarnation: 300, nonce: 1, lastIndex: -1 },
    {
      ...between,
      type: 'Heartbeat',
      term: 2 ** 31,
      commitIndex: 2 ** 31 + 1,
      round: 2 ** 48,
      leaderCommit: 2 ** 33,
      freshRound: 2 ** 47,
    },
    { ...between, type: 'TimeoutNow', term: 4 },
    { ...between, type: 'ReadIndex', term: 5, token: 2 ** 52 },
    { ...between, type: 'ReadIndexResponse', term: 5, token: 2 ** 52, index: 2 ** 34 },
    { ...between, type: 'ReadIndexResponse', term: 6, token: 0, index: -1 },
  ]
  return messages.map((message) => ({
    message,
    payload: message.type === 'AppendEntries' && message.count > 0 ? payload : null,
  }))
}
