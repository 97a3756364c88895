/** The text that a broker writes for each stored message, beside the declaration that it stands for. */
import { describe, expect, it } from 'vitest'
import { createResponse, decodeCommand, LENGTH_BYTES } from '../command.ts'
import { encodeFrames } from '../frame.ts'
import { SendMessageResponse, SendResponseText } from './send.ts'

const answers = [
  { transactionId: '7F00000100002A139A5500000000ABCD', region: 'DefaultRegion', recallHandle: undefined },
  { transactionId: 'a "quoted" \\ id\n', region: 'a "region"', recallHandle: undefined },
  { transactionId: '\u00e9\ud83d\ude00\ud800', region: '', recallHandle: 'handle "1"' },
]

describe('an answer to a send', () => {
  it.each(answers)('is what the declaration would make of it: $transactionId', (answer) => {
    const { transactionId, region, recallHandle } = answer
    const msgId = '7F0000010000BBCF00000001FFFFFFFF'
    const written = createResponse(0)
    written.extFieldsJson = new SendResponseText(region, 'true').fields(
      msgId,
      3,
      9_007_199,
      transactionId,
      recallHandle,
    )
    const declared = SendMessageResponse.response(0, {
      msgId,
      queueId: 3,
      queueOffset: 9_007_199,
      transactionId,
      recallHandle,
      regionId: region,
      traceOn: 'true',
    })
    const [frame] = encodeFrames([written])
    const [other] = encodeFrames([declared])
    const read = (bytes: Buffer | undefined) => decodeCommand(bytes as Buffer, LENGTH_BYTES, (bytes as Buffer).length)
    expect(read(frame).extFields).toEqual(read(other).extFields)
    expect(SendMessageResponse.decode(read(frame).extFields)).toEqual(SendMessageResponse.decode(read(other).extFields))
    expect(frame?.length).toBe(other?.length)
    expect(frame?.readUInt32BE(0)).toBe((frame?.length ?? 0) - LENGTH_BYTES)
  })
})
