require 'digest'
require 'json'
require 'sequel'
require 'sinatra'

DB = Sequel.connect(ENV.fetch('DATABASE_URL'))

post '/webhooks' do
  key = Digest::SHA256.hexdigest(request.fetch_header('HTTP_IDEMPOTENCY_KEY'))
  DB.transaction do
    new = DB[:handled_events].insert_conflict.returning(:id).insert(id: key).any?
    if new && request.get_header('HTTP_CE_TYPE') == 'com.instagram.messages'
      entry = JSON.parse(request.body.read)['entry'][0]
      entry.fetch('messaging', []).each do |item|
        DB[:messages].insert(account: entry['id'], sender: item['sender']['id'], text: item['message']['text'])
      end
    end
  end
  200
end
