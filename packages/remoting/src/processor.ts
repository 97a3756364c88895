/**
 * From a request to its processor, and from what that does to an answer. The same for requests that reach a server and for
 * those that a server sends to its clients.
 */
import { AssertionError, background, type Logger } from '@dledger-ts/base'
import type { RemotingCommand } from './command.ts'
import { type Connection, notSupported, type RequestSink, systemError } from './connection.ts'
import { RemotingError } from './errors.ts'

/** The answer, or undefined when there is none yet (`connection.respond` later) or never. */
export type ProcessorResult = RemotingCommand | undefined

/**
 * Handles one request. What it throws becomes an answer with code 1.
 *
 * @param connection where the request came from; lives longer than the request, and identifies the client.
 */
export type Processor = (connection: Connection, request: RemotingCommand) => ProcessorResult | Promise<ProcessorResult>

/** Request code → processor. Codes without one are answered with 3. */
export type ProcessorTable = ReadonlyMap<number, Processor>

/** @returns a sink that finds the processor of each request and sends its answer. */
export function dispatcher(processors: ProcessorTable, logger: Logger): RequestSink {
  return (connection, request) => {
    const processor = processors.get(request.code)
    if (processor === undefined) return connection.respond(request, notSupported(request))
    let result: ProcessorResult | Promise<ProcessorResult>
    try {
      result = processor(connection, request)
    } catch (error) {
      return fail(connection, request, error, logger)
    }
    if (result instanceof Promise)
      background(answer(connection, request, result, logger), 'answering a request', logger)
    else if (result !== undefined) connection.respond(request, result)
  }
}

async function answer(
  connection: Connection,
  request: RemotingCommand,
  result: Promise<ProcessorResult>,
  logger: Logger,
): Promise<void> {
  try {
    const response = await result
    if (response !== undefined) connection.respond(request, response)
  } catch (error) {
    fail(connection, request, error, logger)
  }
}

function fail(connection: Connection, request: RemotingCommand, error: unknown, logger: Logger): void {
  // A broken invariant is ours to stop for; it is not the client's to hear about.
  if (error instanceof AssertionError) throw error
  const fields = { remote: connection.remoteAddress, request: request.code, err: error }
  if (error instanceof RemotingError) logger.debug(fields, 'refused a request')
  else logger.error(fields, 'a processor failed')
  if (!request.isAnswered) connection.respond(request, systemError(error))
}
