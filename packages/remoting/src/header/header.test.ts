/** Header declarations against the ext fields of every recorded frame, and each kind of field against odd texts. */
import { describe, expect, it } from 'vitest'
import { RequestCode, ResponseCode } from '../codes.ts'
import { decodeCommand } from '../command.ts'
import { RemotingError } from '../errors.ts'
import { allGoldenFrames } from '../testing/golden-frames.ts'
import * as client from './client.ts'
import {
  boolean,
  defaulted,
  header,
  Header,
  type HeaderFields,
  int32,
  int64,
  named,
  optional,
  string,
} from './header.ts'
import * as keyValue from './key-value.ts'
import * as offset from './offset.ts'
import * as pop from './pop.ts'
import * as pull from './pull.ts'
import * as query from './query.ts'
import * as recall from './recall.ts'
import * as registration from './registration.ts'
import * as route from './route.ts'
import * as send from './send.ts'
import * as topic from './topic.ts'
import * as transaction from './transaction.ts'

const modules = {
  ...client,
  ...keyValue,
  ...offset,
  ...pop,
  ...pull,
  ...query,
  ...recall,
  ...registration,
  ...route,
  ...send,
  ...topic,
  ...transaction,
}
const requests = new Map<number, Header<HeaderFields>>()
const responses = new Map<number, Header<HeaderFields>>()
for (const [name, declaration] of Object.entries(modules) as [string, unknown][]) {
  if (!(declaration instanceof Header)) continue
  ;(name.endsWith('Response') ? responses : requests).set(declaration.code, declaration as Header<HeaderFields>)
}
requests.set(RequestCode.SEND_BATCH_MESSAGE, send.SendMessageRequestV2)
requests.set(RequestCode.SEND_REPLY_MESSAGE_V2, send.SendMessageRequestV2)
responses.set(RequestCode.SEND_MESSAGE_V2, send.SendMessageResponse)
responses.set(RequestCode.SEND_BATCH_MESSAGE, send.SendMessageResponse)

/** Answers that carry the header although they are no success. */
const WITH_HEADER: readonly number[] = [
  ResponseCode.SUCCESS,
  ResponseCode.PULL_NOT_FOUND,
  ResponseCode.PULL_RETRY_IMMEDIATELY,
  ResponseCode.PULL_OFFSET_MOVED,
]

const frames = allGoldenFrames().map((frame) => ({ frame, command: decodeCommand(frame.bytes, 4, frame.bytes.length) }))
const declared = frames.filter(({ frame, command }) => {
  if (!frame.response) return requests.has(command.code)
  return responses.has(frame.requestCode ?? -1) && WITH_HEADER.includes(command.code)
})

it('has a declaration for most of what was recorded', () => {
  const codes = new Set(declared.filter(({ frame }) => !frame.response).map(({ command }) => command.code))
  expect([...codes].sort((a, b) => a - b)).toEqual([
    10, 11, 12, 14, 15, 17, 29, 30, 31, 32, 33, 35, 36, 37, 38, 39, 40, 103, 104, 105, 215, 310, 320, 322, 325, 326,
    370, 901, 904, 200050, 200051, 200053,
  ])
  expect(declared.filter(({ frame }) => frame.response).length).toBeGreaterThan(50)
})

describe.each(declared)('$frame.name', ({ frame, command }) => {
  const declaration = (
    frame.response ? responses.get(frame.requestCode ?? -1) : requests.get(command.code)
  ) as Header<HeaderFields>
  it('is read, and written back with the same texts', () => {
    const given = command.extFields ?? {}
    const written = declaration.encode(declaration.decode(given))
    for (const [name, text] of Object.entries(written)) {
      // "No bound" is read as the largest number there is.
      const expected = given[name] === '9223372036854775807' ? '9007199254740991' : given[name]
      if (name in given) expect({ [name]: text }).toEqual({ [name]: expected })
    }
    const unknown = Object.keys(given).filter((name) => !(name in written))
    // Fields of 5.x proxies and signatures, which nothing here reads.
    expect(unknown.filter((name) => !IGNORED.has(name))).toEqual([])
  })
})
const IGNORED = new Set([
  'ReqT',
  'bname',
  'indexType',
  'AccessKey',
  'Signature',
  'OnsChannel',
  'ns',
  'nsd',
  'lo',
  'oway',
  'suspend',
  'topic',
])

describe('fields', () => {
  const declaration = header(7, {
    text: string,
    small: int32,
    large: int64,
    flag: boolean,
    maybe: optional(int32),
    usual: defaulted(int32, 5),
    short: named('s', string),
  })
  const good = { text: '', small: '-2147483648', large: '9007199254740991', flag: 'TRUE', s: 'x' }

  it('are read from text, with defaults for what is absent', () => {
    expect(declaration.decode(good)).toEqual({
      text: '',
      small: -2147483648,
      large: Number.MAX_SAFE_INTEGER,
      flag: true,
      maybe: undefined,
      usual: 5,
      short: 'x',
    })
  })
  it('are written as text, without what is absent', () => {
    const value = { text: 'é', small: 1, large: -2, flag: false, usual: 6, short: 'y' }
    expect(declaration.encode(value)).toEqual({ text: 'é', small: '1', large: '-2', flag: 'false', usual: '6', s: 'y' })
  })
  it.each(['text', 'small', 'large', 'flag', 's'])('name %s when it is missing', (field) => {
    const fields: Record<string, string> = { ...good }
    delete fields[field]
    expect(() => declaration.decode(fields)).toThrow(
      expect.objectContaining({ detail: { code: 'BAD_HEADER', requestCode: 7, field, reason: 'it is missing' } }),
    )
    expect(() => declaration.decode(undefined)).toThrow(RemotingError)
  })
  it.each([
    { field: 'small', text: '2147483648' },
    { field: 'small', text: '-2147483649' },
    { field: 'small', text: '' },
    { field: 'small', text: '-' },
    { field: 'small', text: '1.0' },
    { field: 'small', text: ' 1' },
    { field: 'small', text: '1e3' },
    { field: 'small', text: '0x10' },
    { field: 'small', text: '1'.repeat(1000) },
    { field: 'large', text: 'null' },
    { field: 'large', text: '1'.repeat(21) },
    { field: 'maybe', text: 'many' },
  ])('refuse $field=$text', ({ field, text }) => {
    expect(() => declaration.decode({ ...good, [field]: text })).toThrow(
      expect.objectContaining({ code: 'BAD_HEADER' }),
    )
  })
  it.each([
    { text: '9223372036854775807', value: Number.MAX_SAFE_INTEGER },
    { text: '-9223372036854775808', value: Number.MIN_SAFE_INTEGER },
    { text: '9007199254740992', value: Number.MAX_SAFE_INTEGER },
    { text: '9007199254740991', value: Number.MAX_SAFE_INTEGER },
    { text: '+7', value: 7 },
    { text: '-0', value: 0 },
    { text: '000', value: 0 },
  ])('read the int64 $text as $value', ({ text, value }) => {
    expect(declaration.decode({ ...good, large: text }).large).toBe(value)
  })
  it('are not taken from the prototype of the ext fields', () => {
    expect(() => header(8, { constructor: string } as HeaderFields).decode({})).toThrow(RemotingError)
  })
})
