/** Changes of a topic's attributes: what they make of it, and the words in which they are refused. */
import { expect, test } from 'vitest'
import { AttributeError, changedAttributes, makesMixed, parseAttributeChanges } from './topic-attributes.ts'

const change = (present: Record<string, string> | undefined, text: string) =>
  changedAttributes(present, parseAttributeChanges(text))

test.each<[Record<string, string> | undefined, string, Record<string, string>]>([
  [undefined, '', {}],
  [undefined, '+message.type=FIFO,+queue.type=SimpleCQ', { 'message.type': 'FIFO', 'queue.type': 'SimpleCQ' }],
  [{ 'message.type': 'FIFO' }, '+message.type=DELAY', { 'message.type': 'DELAY' }],
  [{ 'message.type': 'FIFO', 'reserve.time': '5' }, '-message.type,+reserve.time=-1', { 'reserve.time': '-1' }],
  [{ 'message.type': 'FIFO' }, '', { 'message.type': 'FIFO' }],
])('%j with %j becomes %j', (present, text, result) => {
  expect(change(present, text)).toEqual(result)
})

test.each<[Record<string, string> | undefined, string, string]>([
  [undefined, '-message.type', 'only add attribute is supported while creating topic. key: message.type'],
  [{}, '-message.type', 'attempt to delete a nonexistent key: message.type'],
  [{}, '+colour=red', 'unsupported key: colour'],
  [{}, '+queue.type=BatchCQ', 'attempt to update an unchangeable attribute. key: queue.type'],
  [{}, '+message.type=RED', 'value is not in set: [UNSPECIFIED, NORMAL, FIFO, DELAY, TRANSACTION, MIXED]'],
  [{}, '+reserve.time=-2', 'value is not in range(-1, 9223372036854775807)'],
  [{}, '+reserve.time=soon', 'For input string: "soon"'],
  [{}, 'message.type=FIFO', 'add/alter attribute format is wrong: message.type'],
  [{}, 'message.type', 'delete attribute format is wrong: message.type'],
  [{}, '+message.type=', 'add/alter attribute format is wrong: +message.type='],
  [{}, '+message.type=FIFO,+message.type=DELAY', 'key duplication: +message.type'],
  [{ 'message.type': 'FIFO' }, '+message.type=FIFO,-message.type', 'alter duplication key. key: message.type'],
  [{}, '+message.ty+pe=FIFO', 'kv string format wrong.'],
])('%j with %j is refused: %s', (present, text, words) => {
  expect(() => change(present, text)).toThrow(new AttributeError(words))
})

test('a topic for every type of message is told', () => {
  expect(makesMixed(parseAttributeChanges('+message.type=MIXED'))).toBe(true)
  expect(makesMixed(parseAttributeChanges('+message.type=FIFO'))).toBe(false)
})
