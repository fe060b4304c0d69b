using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Mvc;
using Npgsql;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddNpgsqlDataSource(builder.Configuration["Database"]!);
var app = builder.Build();

app.MapPost("/webhooks", async (HttpRequest request, NpgsqlDataSource source,
    [FromHeader(Name = "Idempotency-Key")] string key, [FromHeader(Name = "Ce-Type")] string type) =>
{
    await using var db = await source.OpenConnectionAsync();
    await using var transaction = await db.BeginTransactionAsync(); // rolls back unless it is committed
    var id = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
    var handled = await db.ExecuteAsync("INSERT INTO handled_events (id) VALUES (@id) ON CONFLICT DO NOTHING", new { id }, transaction);
    if (handled == 1 && type == "com.instagram.messages")
    {
        using var body = await JsonDocument.ParseAsync(request.Body);
        var entry = body.RootElement.GetProperty("entry")[0];
        if (entry.TryGetProperty("messaging", out var items))
            foreach (var item in items.EnumerateArray())
                await db.ExecuteAsync("INSERT INTO messages (account, sender, text) VALUES (@account, @sender, @text)", new
                {
                    account = entry.GetProperty("id").GetString(),
                    sender = item.GetProperty("sender").GetProperty("id").GetString(),
                    text = item.GetProperty("message").TryGetProperty("text", out var text) ? text.GetString() : null,
                }, transaction);
    }
    await transaction.CommitAsync();
    return Results.Ok();
});

app.Run();
