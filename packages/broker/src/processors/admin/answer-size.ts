/** Answers that may have more than a frame has room for: they are refused, where the frame would end the connection. */
import { createResponse, FRAME_BYTES_MAX, type RemotingCommand, ResponseCode } from '@dledger-ts/remoting'

/** Room for the header of the answer. */
export const BODY_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024

export function sized(body: Buffer): RemotingCommand {
  if (body.length > BODY_BYTES_MAX) return tooLarge(body.length)
  return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
}

export function tooLarge(bytes: number): RemotingCommand {
  const remark = `the answer has more than ${bytes} bytes, and no frame has room for it: ask group by group, topic by topic`
  return createResponse(ResponseCode.SYSTEM_ERROR, remark)
}
