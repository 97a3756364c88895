/** Frames, however a network cuts and glues them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRequest } from './command.ts'
import { RemotingError } from './errors.ts'
import { encodeFrames, FRAME_BYTES_MAX, FrameDecoder } from './frame.ts'
import { allGoldenFrames } from './testing/golden-frames.ts'

const frames = allGoldenFrames().map((frame) => frame.bytes)
const stream = Buffer.concat(frames)

function collector(frameBytesMax?: number) {
  const found: string[] = []
  const decoder = new FrameDecoder((bytes, at, end) => {
    found.push(bytes.subarray(at, end).toString('latin1'))
    return true
  }, frameBytesMax)
  return { decoder, found }
}
const contents = frames.map((frame) => frame.subarray(4).toString('latin1'))

describe('finds every frame of the recorded streams', () => {
  it('when all come at once', () => {
    const { decoder, found } = collector()
    decoder.push(stream)
    expect(found).toEqual(contents)
  })
  it('when they come byte by byte', () => {
    const { decoder, found } = collector()
    for (let at = 0; at < stream.length; at++) decoder.push(stream.subarray(at, at + 1))
    expect(found).toEqual(contents)
  })
  it('when they are cut anywhere', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 60 }), (sizes) => {
        const { decoder, found } = collector()
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = i < 5000 ? (sizes[i % sizes.length] as number) : stream.length
          decoder.push(stream.subarray(at, at + size))
          at += size
        }
        expect(found).toEqual(contents)
      }),
      { numRuns: 60 },
    )
  })
  it('when the buffers of the socket are used again for what comes next', () => {
    const { decoder, found } = collector()
    const shared = Buffer.alloc(1000)
    for (let at = 0; at < stream.length; at += shared.length) {
      const part = stream.copy(shared, 0, at, at + shared.length)
      decoder.push(shared.subarray(0, part))
      shared.fill(0xee)
    }
    expect(found).toEqual(contents)
  })
})

it('takes a frame of exactly the limit and refuses one byte more, before its content came', () => {
  const atLimit = Buffer.alloc(100)
  atLimit.writeUInt32BE(96, 0)
  const { decoder, found } = collector(100)
  decoder.push(atLimit)
  expect(found.length).toBe(1)
  expect(() => decoder.push(Buffer.from([0, 0, 0, 97]))).toThrow(expect.objectContaining({ code: 'FRAME_TOO_LARGE' }))
})

it.each([
  { name: 'the largest length there is', hex: 'ffffffff', code: 'FRAME_TOO_LARGE' },
  { name: 'one byte over 16 MiB', hex: '00fffffd', code: 'FRAME_TOO_LARGE' },
  { name: 'a length of 0', hex: '00000000', code: 'MALFORMED_FRAME' },
  { name: 'a length without room for a header length', hex: '00000003', code: 'MALFORMED_FRAME' },
])('refuses $name, also when it comes byte by byte', ({ hex, code }) => {
  expect(FRAME_BYTES_MAX).toBe(16_777_216)
  const bytes = Buffer.from(hex, 'hex')
  expect(() => collector().decoder.push(bytes)).toThrow(expect.objectContaining({ code }))
  const { decoder } = collector()
  for (let at = 0; at < 3; at++) decoder.push(bytes.subarray(at, at + 1))
  expect(() => decoder.push(bytes.subarray(3))).toThrow(RemotingError)
})

it('takes nothing more after an error', () => {
  const failed = collector()
  expect(() => failed.decoder.push(Buffer.concat([frames[0] as Buffer, Buffer.alloc(4)]))).toThrow(RemotingError)
  failed.decoder.push(stream)
  expect(failed.found.length).toBe(1)
})

it('takes as much as its sink wants, and goes on from there when it is given the rest', () => {
  const cuts = Array.from({ length: 10 }, (_, i) => 1 + Math.floor((i * (stream.length - 1)) / 10))
  for (const cut of [...cuts, ...cuts.map((at) => at + 3)]) {
    const found: Buffer[] = []
    const decoder = new FrameDecoder((bytes, at, end) => {
      found.push(bytes.subarray(at, end))
      return false
    })
    for (const chunk of [stream.subarray(0, cut), stream.subarray(cut)]) {
      let from = 0
      while (from < chunk.length) {
        const before = found.length
        from += decoder.push(chunk.subarray(from))
        expect(found.length - before).toBeLessThanOrEqual(1)
      }
    }
    expect(found).toHaveLength(frames.length)
    expect(found.every((content, i) => content.equals((frames[i] as Buffer).subarray(4)))).toBe(true)
  }
})

it('takes a large frame in tiny pieces without copying it over and over', () => {
  const bytes = 4 * 1024 * 1024
  const large = Buffer.alloc(bytes)
  large.writeUInt32BE(bytes - 4, 0)
  const { decoder, found } = collector()
  const startedAt = performance.now()
  for (let at = 0; at < bytes; at += 7) decoder.push(large.subarray(at, at + 7))
  expect(found.length).toBe(1)
  // Quadratic copying would move terabytes.
  expect(performance.now() - startedAt).toBeLessThan(20_000)
})

it('throws nothing but typed errors on random bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), (chunks) => {
      const { decoder } = collector()
      try {
        for (const chunk of chunks) decoder.push(Buffer.from(chunk))
      } catch (error) {
        expect(error).toBeInstanceOf(RemotingError)
      }
    }),
  )
})

describe('encodes', () => {
  it('many small frames into one buffer', () => {
    const commands = Array.from({ length: 50 }, (_, i) => createRequest(i, { a: 'é' }, Buffer.alloc(i)))
    const buffers = encodeFrames(commands)
    expect(buffers.length).toBe(1)
    const { decoder, found } = collector()
    decoder.push(buffers[0] as Buffer)
    expect(found.length).toBe(50)
  })
  it('a large body where it is, without copying it', () => {
    const body = Buffer.alloc(100_000, 1)
    const buffers = encodeFrames([createRequest(1, {}, Buffer.alloc(10)), createRequest(2, {}, body), createRequest(3)])
    expect(buffers).toContain(body)
    const { decoder, found } = collector()
    decoder.push(Buffer.concat(buffers))
    expect(found.map((content) => content.length > 100_000)).toEqual([false, true, false])
  })
  it('parts that are neighbours in memory as one piece', () => {
    const memory = Buffer.alloc(30_000, 'm')
    const parts = [
      memory.subarray(0, 9_000),
      memory.subarray(9_000, 20_000),
      memory.subarray(20_001),
      Buffer.alloc(5_000),
    ]
    const buffers = encodeFrames([createRequest(1, {}, parts)])
    expect(buffers.slice(1).map((buffer) => buffer.length)).toEqual([20_000, 9_999, 5_000])
    expect(Buffer.concat(buffers.slice(1)).equals(Buffer.concat(parts))).toBe(true)
  })

  it('a body of several parts as if they were one', () => {
    for (const size of [10, 3000]) {
      const parts = [Buffer.alloc(size, 'a'), Buffer.alloc(0), Buffer.alloc(size, 'b')]
      const whole = encodeFrames([createRequest(1, {}, Buffer.concat(parts)), createRequest(2)])
      const split = encodeFrames([createRequest(1, {}, parts), createRequest(2)])
      expect(Buffer.concat(split).equals(Buffer.concat(whole))).toBe(true)
    }
  })
})
