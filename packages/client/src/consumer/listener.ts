/** What an application gives to a consumer. */
import type { ReceivedMessage } from './received-message.ts'

/** CONSUME_SUCCESS: done with all of them. RECONSUME_LATER, a throw or a rejection: deliver them again after a while. */
export type ConsumeResult = 'CONSUME_SUCCESS' | 'RECONSUME_LATER'

/** Called for up to `batchMax` messages of one queue; several calls may be under way at a time. */
export type MessageListener = (messages: readonly ReceivedMessage[]) => ConsumeResult | Promise<ConsumeResult>
