/** What is signed, as Java clients sign it; real clients are asked by `test/interop`. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRequest, decodeCommand, type ExtFields, SerializeType } from './command.ts'
import { encodeFrames } from './frame.ts'
import { isSignedWith, signRequest, signingKey } from './signature.ts'

const KEY = signingKey('12345678')
const CREDENTIALS = { accessKey: 'RocketMQ', secretKey: '12345678' }

function signed(extFields: ExtFields, body?: Buffer, version = 479) {
  const request = createRequest(10, extFields, body)
  request.version = version
  signRequest(request, CREDENTIALS, KEY)
  return request
}

test('the signature of Java for the same request', () => {
  expect(signed({ topic: 'T' }, Buffer.from('body')).extFields).toEqual({
    AccessKey: 'RocketMQ',
    topic: 'T',
    Signature: 'xjHQAkZ6AeUd/4UKEel5AwANfm0=',
  })
})

test('a body in several parts is signed as one', () => {
  const request = createRequest(10, { topic: 'T' }, [Buffer.from('bo'), Buffer.from('dy')])
  signRequest(request, CREDENTIALS, KEY)
  expect(request.extFields?.['Signature']).toBe('xjHQAkZ6AeUd/4UKEel5AwANfm0=')
})

test('keys are in the order of UTF-16 code units', () => {
  // By code points U+1F600 stands behind U+FF5E, by code units before it.
  const fields = { '\uff5e': '1', '\u{1f600}': '2', b: '3', B: '4' }
  const content = ['RocketMQ', '4', '3', '2', '1'].join('')
  const expected = createHmac('sha1', '12345678').update(content).digest('base64')
  expect(signed(fields).extFields?.['Signature']).toBe(expected)
})

test('a signature is of this request and this key only', () => {
  const request = signed({ topic: 'T' }, Buffer.from('body'))
  expect(isSignedWith(request, KEY, [])).toBe(true)
  expect(isSignedWith(request, signingKey('12345679'), [])).toBe(false)
  request.body = Buffer.from('bodY')
  expect(isSignedWith(request, KEY, [])).toBe(false)
  request.body = Buffer.from('body')
  request.extFields = { ...request.extFields, more: '' }
  expect(isSignedWith(request, KEY, [])).toBe(true)
  request.extFields = { ...request.extFields, more: '1' }
  expect(isSignedWith(request, KEY, [])).toBe(false)
  expect(isSignedWith(request, KEY, ['more'])).toBe(true)
})

test.each([
  ['none', undefined],
  ['an empty one', ''],
  ['a shorter one', 'xjHQAkZ6AeUd/4UKEel5AwANfm0'],
  ['another one', 'xjHQAkZ6AeUd/4UKEel5AwANfm1='],
])('%s is no signature', (_name, signature) => {
  const request = createRequest(10, { AccessKey: 'RocketMQ', topic: 'T' }, Buffer.from('body'))
  if (signature !== undefined) request.extFields = { ...request.extFields, Signature: signature }
  expect(isSignedWith(request, KEY, [])).toBe(false)
})

describe('the mark of a query by unique id', () => {
  test.each([
    [399, true],
    [400, false],
  ])('of a client of version %i: left out is %s', (version, isLeftOut) => {
    const request = signed({ topic: 'T' }, undefined, version)
    request.extFields = { ...request.extFields, _UNIQUE_KEY_QUERY: 'true' }
    expect(isSignedWith(request, KEY, [])).toBe(isLeftOut)
  })
})

test('numbers and booleans are signed as their texts: what the JavaScript client sends', () => {
  const request = signed({ queueId: '0', unitMode: 'false', offset: '12345678901234' })
  const fields = { ...request.extFields, queueId: 0, unitMode: false, offset: 12_345_678_901_234 }
  const header = Buffer.from(JSON.stringify({ code: 10, extFields: fields, version: 479 }))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  const frame = Buffer.concat([length, header])
  expect(isSignedWith(decodeCommand(frame, 0, frame.length), KEY, [])).toBe(true)
})

test('any request is signed alike in both forms of a header, and not when one character differs', () => {
  const name = fc.string({ minLength: 1, unit: 'grapheme' }).filter((key) => !['Signature', 'AccessKey'].includes(key))
  const fields = fc.dictionary(name, fc.string({ unit: 'grapheme' }), { maxKeys: 8 })
  fc.assert(
    fc.property(fields, fc.uint8Array({ maxLength: 64 }), (extFields, bytes) => {
      const request = signed({ ...extFields }, Buffer.from(bytes))
      for (const type of Object.values(SerializeType)) {
        request.serializeType = type
        const frame = Buffer.concat(encodeFrames([request]))
        const received = decodeCommand(frame, 4, frame.length)
        expect(isSignedWith(received, KEY, [])).toBe(true)
        const [first] = Object.keys(extFields)
        if (first === undefined) continue
        received.extFields = { ...received.extFields, [first]: `${extFields[first]}x` }
        expect(isSignedWith(received, KEY, [])).toBe(false)
      }
    }),
  )
})
