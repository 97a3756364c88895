/** Commands against every recorded frame of real clients and servers, in both serializations. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRequest, createResponse, decodeCommand, type RemotingCommand, SerializeType } from './command.ts'
import { RemotingError } from './errors.ts'
import { commandBodyBytes, encodeFrames } from './frame.ts'
import { FRAME_FILES, type GoldenFrame, goldenFrames } from './testing/golden-frames.ts'

function decode(bytes: Buffer): RemotingCommand {
  return decodeCommand(bytes, 4, bytes.length)
}

function encode(command: RemotingCommand): Buffer {
  return Buffer.concat(encodeFrames([command]))
}

/** The header as the recorder decoded it, ext fields as text. */
function expectedHeader({ header }: GoldenFrame) {
  const fields = Object.entries(header.extFields ?? {}).filter(([, value]) => value !== null)
  return {
    code: header.code,
    flag: header.flag,
    language: header.language,
    opaque: header.opaque,
    version: header.version,
    remark: header.remark ?? undefined,
    extFields: fields.length === 0 ? {} : Object.fromEntries(fields.map(([key, value]) => [key, String(value)])),
  }
}

function headerOf(command: RemotingCommand) {
  const { code, flag, language, opaque, version, remark } = command
  return { code, flag, language, opaque, version, remark, extFields: command.extFields ?? {} }
}

describe.each(FRAME_FILES)('the frames of %s', (file) => {
  const frames = goldenFrames(file)

  it('decode to their headers and bodies', () => {
    expect(frames.length).toBeGreaterThan(20)
    for (const frame of frames) {
      const command = decode(frame.bytes)
      expect(headerOf(command), frame.name).toEqual(expectedHeader(frame))
      expect(command.serializeType, frame.name).toBe(SerializeType[frame.serialize])
      expect(commandBodyBytes(command), frame.name).toBe(frame.bodyLength)
      expect(command.isResponse, frame.name).toBe(frame.response)
    }
  })

  it('are encoded to frames that decode to the same', () => {
    for (const frame of frames) {
      const command = decode(frame.bytes)
      const again = decode(encode(command))
      expect(headerOf(again), frame.name).toEqual(headerOf(command))
      expect(again.bodyBytes.equals(command.bodyBytes), frame.name).toBe(true)
    }
  })
})

/** Java's encoders keep the order in which they met the ext fields; so does our decoder, and bytes can be compared. */
it.each(['java-4.9.8', 'java-4.9.8-binary', 'java-5.5.0', 'java-5.5.0-binary', 'broker-5.5.0'] as const)(
  'the frames of %s are encoded to the very bytes',
  (file) => {
    for (const frame of goldenFrames(file)) {
      expect(encode(decode(frame.bytes)).toString('latin1'), frame.name).toBe(frame.bytes.toString('latin1'))
    }
  },
)

it('writes the frames of the specification, byte by byte', () => {
  const request = createRequest(105, { topic: 'T' })
  request.opaque = 9
  const json =
    '{"code":105,"extFields":{"topic":"T"},"flag":0,"language":"JAVA","opaque":9,"serializeTypeCurrentRPC":"JSON","version":479}'
  expect(encode(request)).toEqual(Buffer.concat([Buffer.from('0000007f0000007b', 'hex'), Buffer.from(json)]))
  request.serializeType = SerializeType.ROCKETMQ
  expect(encode(request).toString('hex')).toBe(
    '00000025010000210069' + '0001df00000009000000000000' + '00000000000c0005746f7069630000000154',
  )
})

it('reads numbers, booleans and nulls among ext fields as text', () => {
  const header = '{"code":1,"opaque":2,"flag":0,"version":1,"extFields":{"a":1,"b":true,"c":null,"d":"x","g":1.5}}'
  const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(header)])
  bytes.writeUInt32BE(header.length, 4)
  expect(decode(bytes).extFields).toEqual({ a: '1', b: 'true', d: 'x', g: '1.5' })
})

it('takes __proto__ for a field like any other', () => {
  const request = createRequest(1, JSON.parse('{"__proto__":"x"}') as Record<string, string>)
  for (const type of [SerializeType.JSON, SerializeType.ROCKETMQ] as const) {
    request.serializeType = type
    const { extFields } = decode(encode(request))
    expect(Object.keys(extFields ?? {})).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  }
})

it('gives back any command, in both serializations', () => {
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  fc.assert(
    fc.property(
      fc.record({
        code: fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }),
        opaque: int32,
        flag: int32,
        version: fc.nat(2 ** 15 - 1),
        remark: fc.option(
          text.filter((remark) => remark !== ''),
          { nil: undefined },
        ),
        fields: fc.option(fc.dictionary(text, text, { minKeys: 1, maxKeys: 8 }), { nil: undefined }),
        body: fc.uint8Array({ maxLength: 10_000 }),
        type: fc.constantFrom(SerializeType.JSON, SerializeType.ROCKETMQ),
      }),
      (given) => {
        const command = createResponse(given.code, given.remark, given.fields, Buffer.from(given.body))
        Object.assign(command, {
          opaque: given.opaque,
          flag: given.flag,
          version: given.version,
          serializeType: given.type,
        })
        const again = decode(encode(command))
        expect(headerOf(again)).toEqual({ ...headerOf(command) })
        expect(again.bodyBytes.equals(Buffer.from(given.body))).toBe(true)
      },
    ),
    { numRuns: 300 },
  )
})

it('cuts codes to 16 bits in the binary form, as Java does', () => {
  const request = createRequest(200_050)
  request.serializeType = SerializeType.ROCKETMQ
  expect(decode(encode(request)).code).toBe(3442)
})

describe('refuses with a typed error', () => {
  const deep = '['.repeat(500_000) + ']'.repeat(500_000)
  const json = (header: string, type = 0) => {
    const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(header)])
    bytes.writeUInt32BE(bytes.length - 8, 4)
    bytes[4] = type
    return bytes
  }
  it.each([
    { name: 'no room for a header length', bytes: Buffer.alloc(7) },
    { name: 'a header longer than its frame', bytes: Buffer.from('00000004000000ff', 'hex') },
    { name: 'an unknown serialize type', bytes: json('{"code":1}', 2) },
    { name: 'a header that is no JSON', bytes: json('{"code":1') },
    { name: 'a header that is an array', bytes: json('[1]') },
    { name: 'a header that is null', bytes: json('null') },
    { name: 'an empty header', bytes: json('') },
    { name: 'a header without a code', bytes: json('{}') },
    { name: 'a code that is a text', bytes: json('{"code":"1"}') },
    { name: 'a code with a fraction', bytes: json('{"code":1.5}') },
    { name: 'an opaque beyond int32', bytes: json('{"code":1,"opaque":2147483648}') },
    { name: 'ext fields that are an array', bytes: json('{"code":1,"extFields":["a"]}') },
    { name: 'ext fields that are a text', bytes: json('{"code":1,"extFields":"a"}') },
    { name: 'an ext field that is an object', bytes: json('{"code":1,"extFields":{"a":{}}}') },
    { name: 'an ext field nested deeper than any stack', bytes: json(`{"code":1,"extFields":{"a":${deep}}}`) },
    { name: 'a remark nested deeper than any stack', bytes: json(`{"code":1,"remark":${deep}}`) },
    { name: 'a header nested deeper than any stack', bytes: json(deep) },
    { name: 'a binary header that is too short', bytes: json('x'.repeat(20), 1) },
    { name: 'a remark of negative length', bytes: binary({ remark: -1 }) },
    { name: 'a remark that leaves the header', bytes: binary({ remark: 1 }) },
    { name: 'ext fields of negative length', bytes: binary({ fields: -1 }) },
    { name: 'ext fields that leave the header', bytes: binary({ fields: 1 }) },
    { name: 'an ext field key of negative length', bytes: binary({ fields: 6, tail: 'ffff00000000' }) },
    { name: 'an ext field key that leaves the header', bytes: binary({ fields: 6, tail: '000100000000' }) },
    { name: 'an ext field value of negative length', bytes: binary({ fields: 6, tail: '0000ffffffff' }) },
    { name: 'an ext field value that leaves the header', bytes: binary({ fields: 6, tail: '000000000001' }) },
    { name: 'an ext field that is cut', bytes: binary({ fields: 1, tail: '00' }) },
  ])('$name', ({ bytes }) => {
    const refusal = () => decode(bytes)
    expect(refusal).toThrow(RemotingError)
    expect(refusal).toThrow(expect.objectContaining({ code: 'MALFORMED_FRAME' }))
  })

  it('whatever is flipped in a frame', () => {
    const frames = FRAME_FILES.flatMap(goldenFrames)
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.nat(600),
        fc.integer({ min: 1, max: 255 }),
        (frame, offset, change) => {
          const bytes = Buffer.from(frame.bytes)
          const at = 4 + (offset % (bytes.length - 4))
          bytes[at] = (bytes[at] as number) ^ change
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(RemotingError)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})

/** A binary frame whose length fields say what they are told to. */
function binary({ remark = 0, fields = 0, tail = '' }: { remark?: number; fields?: number; tail?: string }): Buffer {
  const header = Buffer.concat([Buffer.alloc(21), Buffer.from(tail, 'hex')])
  header.writeInt32BE(remark, 13)
  header.writeInt32BE(fields, 17)
  const bytes = Buffer.concat([Buffer.alloc(8), header])
  bytes.writeUInt32BE(header.length, 4)
  bytes[4] = 1
  return bytes
}
