/** The languages of clients, by ordinal in the binary header and by name in the JSON one. Source: LanguageCode. */
export const LANGUAGE_NAMES: readonly string[] = [
  'JAVA',
  'CPP',
  'DOTNET',
  'PYTHON',
  'DELPHI',
  'ERLANG',
  'RUBY',
  'OTHER',
  'HTTP',
  'GO',
  'PHP',
  'OMS',
  'RUST',
  'NODE_JS',
]

/** Stands for a language that a header does not name or names by an unknown number. */
export const OTHER_LANGUAGE = 'OTHER'
