/**
 * The namesrv's own settings: GET_NAMESRV_CONFIG (319), UPDATE_NAMESRV_CONFIG (318), as lines of `key=value`.
 *
 * Keeps: an update is done as a whole or not at all; it lasts until the namesrv stops, for that writes nothing. Keys that it does not know are
 * passed over, as Apache's does; those that cannot change while it runs are refused, where Apache's takes them without effect.
 *
 * Source: DefaultRequestProcessor.
 */
import { createResponse, type RemotingCommand, RequestCode, ResponseCode } from '@dledger-ts/remoting'
import { type NamesrvContext, type ProcessorEntry, success } from './context.ts'

const CHANGEABLE = ['orderMessageEnable', 'returnOrderTopicConfigToBroker'] as const
/** Nobody may change from afar where a namesrv writes. Source: NamesrvConfig.configBlackList. */
const FORBIDDEN = new Set(['configBlackList', 'configStorePath', 'kvConfigPath'])

export function configurationProcessors(context: NamesrvContext): ProcessorEntry[] {
  return [
    [RequestCode.GET_NAMESRV_CONFIG, () => showConfig(context)],
    [RequestCode.UPDATE_NAMESRV_CONFIG, (_, request) => updateConfig(context, request)],
  ]
}

/** As Java's Properties reads them. */
function showConfig(context: NamesrvContext): RemotingCommand {
  const lines = Object.entries(context.shownConfig()).map(([key, value]) => `${key}=${value}\n`)
  return success(Buffer.from(lines.join('')))
}

function updateConfig(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const wanted = propertiesOf(request.bodyBytes.toString())
  if ([...wanted.keys()].some((key) => FORBIDDEN.has(key))) {
    return createResponse(ResponseCode.NO_PERMISSION, 'Can not update config in black list.')
  }
  const shown = context.shownConfig()
  for (const [key, value] of wanted) {
    if (isChangeable(key)) {
      if (value === 'true' || value === 'false') continue
      return createResponse(ResponseCode.SYSTEM_ERROR, `${key}=${value}: true or false is allowed`)
    }
    if (key in shown && String(shown[key]) !== value) {
      return createResponse(ResponseCode.SYSTEM_ERROR, `${key} cannot be changed while the namesrv runs`)
    }
  }
  for (const key of CHANGEABLE) {
    const value = wanted.get(key)
    if (value !== undefined) context[key] = value === 'true'
  }
  context.logger.info({ wanted: Object.fromEntries(wanted) }, 'settings were updated')
  return success()
}

function isChangeable(key: string): key is (typeof CHANGEABLE)[number] {
  return (CHANGEABLE as readonly string[]).includes(key)
}

function propertiesOf(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const found = /^\s*([^\s#!=:][^\s=:]*)\s*[=:]?\s*(.*?)\s*$/.exec(line)
    if (found !== null) properties.set(found[1] as string, found[2] as string)
  }
  return properties
}
