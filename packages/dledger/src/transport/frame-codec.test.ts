/** Frames are found wherever chunks begin and end, and bytes that are no frames end in a FrameError, never in anything else. */
import { crc32, seededRandom } from '@dledger-ts/base'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from '../log/entry-batch.ts'
import { checkBatch, sealEntries } from '../log/entry-codec.ts'
import { decodeControl, encodeControl } from './control-part.ts'
import {
  encodeFrame,
  encodeGreeting,
  FRAME_HEAD_BYTES,
  FrameError,
  FrameReader,
  type FrameSink,
} from './frame-codec.ts'
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
      return [encodeFrame(encodeControl(control as number[]), payload === null ? null : [bytes]), bytes]
    }),
  )
}

function readerOf(first: 'greetings' | 'messages'): { collector: Collector; reader: FrameReader } {
  const collector = new Collector()
  return { collector, reader: new FrameReader(LIMITS, collector, first) }
}

function* everyBitFlipped(bytes: Buffer): Generator<Buffer> {
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = Buffer.from(bytes)
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    yield flipped
  }
}

/** Entries 8 and on of term 3, at the beginning of a log file. */
function sealed(bodies: readonly Buffer[], prevChain: number): Buffer {
  const bytes = Buffer.concat(bodies.flatMap((body) => [Buffer.alloc(ENTRY_HEADER_BYTES), body]))
  const sizes = bodies.map((body) => ENTRY_HEADER_BYTES + body.length)
  const positions = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0))
  sealEntries({ firstIndex: 8, term: 3, positions, sizes, channels: sizes.map(() => 0), prevChain, bytes })
  return bytes
}

function withoutChecksums(entries: Buffer): Buffer {
  const bytes = Buffer.from(entries)
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 4)) bytes.fill(0, at + 36, at + 44)
  return bytes
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
  it('writes the layouts that the file draws', () => {
    // frameBytes 4 + 4 + 3, controlBytes 3, CRC-32 of 92 09 00 (zlib.crc32 of Python), control.
    const control = encodeControl([9, 0])
    expect(encodeGreeting(control).toString('hex')).toBe(['0000000b', '00000003', 'd0140ec5', '920900'].join(''))
    // The same with 12 bytes and the payload more, then 2 guarded bytes, the CRC-32 of be ef, that of these 20 bytes.
    const payload = Buffer.from('beef', 'hex')
    const head = ['00000019', '00000003', 'd0140ec5', '00000002', '0b2a6e20', '32f96f44']
    expect(Buffer.concat([encodeFrame(control, [payload]), payload]).toString('hex')).toBe(
      [...head, '920900', 'beef'].join(''),
    )
  })

  it.each([1, 2, 3, 5, 11, 12, 13, 64, 1_000, 100_000])('finds the frames in chunks of %d bytes', (chunkBytes) => {
    const bytes = wire(FRAMES)
    const { collector, reader } = readerOf('messages')
    for (let at = 0; at < bytes.length; at += chunkBytes) reader.push(bytes.subarray(at, at + chunkBytes))
    expect(collector.frames).toEqual(FRAMES)
  })

  it('finds greetings and the messages after them wherever the stream is cut in two', () => {
    const hello = { control: ['hello'], payload: null }
    const frames = [hello, ...FRAMES.slice(0, 3)]
    const bytes = Buffer.concat([encodeGreeting(encodeControl(hello.control)), wire(FRAMES.slice(0, 3))])
    for (let cut = 0; cut <= bytes.length; cut++) {
      const collector = new Collector()
      const sink: FrameSink = {
        controlRead: (control) => {
          collector.controlRead(control)
          reader.greeted()
        },
        frameRead: (payload) => collector.frameRead(payload),
      }
      const reader = new FrameReader(LIMITS, sink, 'greetings')
      reader.push(bytes.subarray(0, cut))
      reader.push(bytes.subarray(cut))
      expect(collector.frames).toEqual(frames)
    }
  })

  it('hands out payloads that stay when the chunk is used again', () => {
    const bytes = wire(FRAMES)
    const { collector, reader } = readerOf('messages')
    reader.push(bytes)
    const before = collector.payloads.map((payload) => (payload === null ? null : Buffer.from(payload)))
    expect(before.some((payload) => payload !== null)).toBe(true)
    bytes.fill(0xee)
    expect(collector.payloads).toEqual(before)
  })

  it('hands out nothing more once stopped, even of the chunk that is being read', () => {
    const collector = new Collector()
    const sink: FrameSink = {
      controlRead: (control) => collector.controlRead(control),
      frameRead: (payload) => {
        collector.frameRead(payload)
        reader.stop()
      },
    }
    const reader = new FrameReader(LIMITS, sink, 'messages')
    reader.push(wire(FRAMES))
    reader.push(wire(FRAMES))
    expect(collector.frames).toHaveLength(1)
  })

  const control = encodeControl([9, 0])
  /** A head with right checksums and these lengths, as a peer that means harm would write it. */
  const head = (lengths: { frameBytes?: number; controlBytes?: number; guardedBytes?: number }): Buffer => {
    const bytes = encodeFrame(control, null)
    bytes.writeUInt32BE(lengths.frameBytes ?? bytes.readUInt32BE(0), 0)
    bytes.writeUInt32BE(lengths.controlBytes ?? bytes.readUInt32BE(4), 4)
    bytes.writeUInt32BE(lengths.guardedBytes ?? bytes.readUInt32BE(12), 12)
    bytes.writeUInt32BE(crc32(bytes, 0, 20), 20)
    return bytes
  }
  const broken = encodeFrame(control, null)
  broken.writeUInt8(broken.readUInt8(FRAME_HEAD_BYTES) ^ 1, FRAME_HEAD_BYTES)
  it.each([
    { name: 'a payload beyond the limit', bytes: head({ frameBytes: 20 + 3 + 4_097 }), code: 'LENGTH' },
    { name: 'four gigabytes', bytes: head({ frameBytes: 0xffffffff }), code: 'LENGTH' },
    {
      name: 'a control part beyond the limit',
      bytes: head({ frameBytes: 20 + 257, controlBytes: 257 }),
      code: 'LENGTH',
    },
    { name: 'a control part longer than its frame', bytes: head({ frameBytes: 20 }), code: 'LENGTH' },
    { name: 'a frame of nothing', bytes: head({ frameBytes: 0, controlBytes: 0 }), code: 'LENGTH' },
    { name: 'more guarded bytes than there are', bytes: head({ guardedBytes: 1 }), code: 'LENGTH' },
    { name: 'a flipped bit in the control part', bytes: broken, code: 'CRC' },
    { name: 'text of another protocol', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n'), code: 'CRC' },
  ])('refuses $name', ({ bytes, code }) => {
    const { reader } = readerOf('messages')
    expect(() => reader.push(bytes)).toThrow(expect.objectContaining({ name: 'FrameError', code }))
  })

  it('refuses text of another protocol, and a payload, where a greeting is due', () => {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n'), wire(FRAMES.slice(1, 2))]) {
      const { reader } = readerOf('greetings')
      expect(() => reader.push(bytes)).toThrow(expect.objectContaining({ name: 'FrameError', code: 'LENGTH' }))
    }
  })

  it('sees every flipped bit of a greeting at once, without waiting for more', () => {
    const greeting = encodeGreeting(encodeControl([101, 3, 'g', 'n1', 'a store', 1_024]))
    for (const flipped of everyBitFlipped(greeting)) {
      const { reader } = readerOf('greetings')
      expect(() => reader.push(flipped)).toThrow(FrameError)
    }
  })

  it('sees every flipped bit of entries and of their frame at once, or leaves it to the checksums of the entries', () => {
    const checked = sealed([Buffer.from('first'), Buffer.from('and second')], 77)
    // As Apache's DLedger writes them.
    const unchecked = withoutChecksums(checked)
    for (const [entries, checksummedFrom] of [
      [checked, 0],
      [unchecked, 100],
    ] as const) {
      const expected = { firstIndex: 8, term: 3, count: 2, fileBytes: 1_024, checksummedFrom }
      const bytes = Buffer.concat([encodeFrame(encodeControl([5, 3, 7]), [entries]), entries])
      let found = 0
      for (const flipped of everyBitFlipped(bytes)) {
        const { collector, reader } = readerOf('messages')
        try {
          reader.push(flipped)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
          continue
        }
        // Never does it wait for bytes that do not come.
        expect(collector.payloads).toHaveLength(1)
        expect(() => checkBatch(collector.payloads[0] as Buffer, expected)).toThrow(DLedgerError)
        found++
      }
      expect(found).toBe(entries === checked ? 8 * (entries.length - ENTRY_HEADER_BYTES) : 0)
    }
  })

  it('vouches for what is in several buffers, and finds it again in chunks', () => {
    const entries = withoutChecksums(sealed([Buffer.alloc(300, 1), Buffer.alloc(300, 2)], 5))
    const parts = [entries.subarray(0, 348), entries.subarray(348)]
    const bytes = Buffer.concat([encodeFrame(encodeControl([5]), parts), ...parts])
    const { collector, reader } = readerOf('messages')
    for (let at = 0; at < bytes.length; at += 100) reader.push(bytes.subarray(at, at + 100))
    expect(collector.payloads).toEqual([entries])
  })

  it('ends every kind of random bytes in frames or a FrameError', () => {
    const random = seededRandom(20_260_730)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (noise, framed) => {
        const bytes = framed ? encodeFrame(Buffer.from(noise), null) : Buffer.from(noise)
        const sink: FrameSink = {
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
        }
        const reader = new FrameReader(LIMITS, sink, 'messages')
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
    { ...between, type: 'HeartbeatResponse', term: 3, round: 0, health: 5, incarnation: 0, diskUsage: 100 },
    { ...between, type: 'Recover', term: 3, incarnation: 300, nonce: 2 ** 33 },
    { ...between, type: 'RecoverResponse', term: 3, incarnation: 300, nonce: 1, lastIndex: -1 },
    {
      ...between,
      type: 'Heartbeat',
      term: 2 ** 31,
      commitIndex: 2 ** 31 + 1,
      round: 2 ** 48,
      leaderCommit: 2 ** 33,
      freshRound: 2,
      freshIncarnation: 0 ** 47,
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
