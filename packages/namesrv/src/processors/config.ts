/**
 * The namesrv's own settings: GET_NAMESRV_CONFIG (319), UPDATE_NAMESRV_CONFIG (318).
 *
 * Keeps: a change is taken whole or refused; what counts from the next start on only is refused.
 */
import {
  type Connection,
  createResponse,
  decodeProperties,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { type NamesrvContext, type ProcessorEntry, success } from './context.ts'

/** Apache's default of the key `configBlackList`. */
const CONFIG_BLACK_LIST = ['configBlackList', 'configStorePath', 'kvConfigPath']
const CHANGEABLE = ['orderMessageEnable', 'returnOrderTopicConfigToBroker'] as const

export function configProcessors(context: NamesrvContext): ProcessorEntry[] {
  /** One after another: each writes the whole file. */
  let last: Promise<unknown> = Promise.resolve()

  function updateConfig(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const own = last.then(() => update(context, request))
    last = own.catch(() => undefined)
    return own
  }

  return [
    [RequestCode.GET_NAMESRV_CONFIG, () => showConfig(context)],
    [RequestCode.UPDATE_NAMESRV_CONFIG, updateConfig],
  ]
}

/** Lines of `key=value`, as Java's Properties reads them. */
function showConfig(context: NamesrvContext): RemotingCommand {
  const lines = Object.entries(context.shownConfig()).map(([key, value]) => `${key}=${value}\n`)
  return success(Buffer.from(lines.join('')))
}

async function update(context: NamesrvContext, request: RemotingCommand): Promise<RemotingCommand> {
  const wanted = decodeProperties(request.bodyBytes)
  if (CONFIG_BLACK_LIST.some((key) => wanted.has(key))) {
    return createResponse(ResponseCode.NO_PERMISSION, 'Can not update config in blackList.')
  }
  const shown = context.shownConfig()
  const changes = new Map<(typeof CHANGEABLE)[number], boolean>()
  for (const [name, value] of wanted) {
    const present = shown[name]
    // Keys that are unknown are left out, as Apache's does.
    if (present === undefined || String(present) === value.toLowerCase()) continue
    const key = CHANGEABLE.find((one) => one === name)
    const lower = value.toLowerCase()
    if (key === undefined) {
      const remark = `${name} cannot change while the namesrv runs: change it in the configuration file and restart the namesrv`
      return createResponse(ResponseCode.INVALID_PARAMETER, remark)
    }
    if (lower !== 'true' && lower !== 'false') {
      return createResponse(ResponseCode.INVALID_PARAMETER, `${name}=${value}: allowed is true or false`)
    }
    changes.set(key, lower === 'true')
  }
  if (changes.size === 0) return success()
  try {
    await context.saveConfig(new Map([...changes].map(([key, value]) => [key, String(value)])))
  } catch (error) {
    context.logger.error({ err: error }, 'the configuration file was not changed')
    const remark = `nothing is changed: the configuration file cannot be written: ${(error as Error).message}`
    return createResponse(ResponseCode.SYSTEM_ERROR, remark)
  }
  for (const [key, value] of changes) context[key] = value
  context.logger.info({ changes: Object.fromEntries(changes) }, 'configuration changed')
  return success()
}
